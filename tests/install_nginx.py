"""Makes sure that there is an nginx for the chaos tests; on Debian as root it installs one."""

import os
import shutil
import subprocess
import sys

#: Not in everybody's PATH, but where Debian puts it.
PLACES = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
MISSING = "The chaos tests need nginx: install it, for example as package 'nginx-light'."


def executable() -> str | None:
    """The path of nginx, if there is one."""
    return shutil.which("nginx", path=PLACES)


def main() -> None:
    if executable():
        return
    if shutil.which("apt-get") and os.geteuid() == 0:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "nginx-light"]
        for command in (["apt-get", "update", "-qq"], install):
            subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    if not executable():
        sys.exit(MISSING)


if __name__ == "__main__":
    main()
