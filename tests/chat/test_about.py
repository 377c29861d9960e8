import tomllib
from pathlib import Path

from chat import about


def test_the_version_is_the_projects_own():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["version"] == about.VERSION
