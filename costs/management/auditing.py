"""What the commands that audit have in common."""

import sys
from collections.abc import Iterable
from typing import Any

from django.core.management.base import BaseCommand


class AuditCommand(BaseCommand):
    """Says ok, or names each violation and ends with 1."""

    def violations(self) -> Iterable[object]:
        """What should never be, as lines."""
        raise NotImplementedError

    def proven(self) -> str:
        """What to say when there is nothing of it."""
        return "ok"

    def handle(self, *args: Any, **options: Any) -> None:
        count = 0
        for violation in self.violations():
            count += 1
            self.stdout.write(str(violation))
        if count:
            self.stderr.write(f"{count} violations")
            sys.exit(1)
        self.stdout.write(self.proven())
