#!/usr/bin/env python
"""Django's command line; `manage.py up` starts everything."""

import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    try:
        from django.core.management import execute_from_command_line

        execute_from_command_line(sys.argv)
    except ModuleNotFoundError as error:
        if error.name != "django":
            raise
        sys.exit(
            "Django is not installed here. Use the interpreter of the project: .venv/bin/python"
        )
    except KeyboardInterrupt:
        sys.exit(130)
