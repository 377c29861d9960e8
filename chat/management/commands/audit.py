"""`manage.py audit`: check what must always hold, over the whole database."""

import sys
from typing import Any

from django.core.management.base import BaseCommand

from chat import audit


class Command(BaseCommand):
    help = "Check every session and the whole ledger; says ok, or names each violation."

    def handle(self, *args: Any, **options: Any) -> None:
        count = 0
        for violation in audit.violations():
            count += 1
            self.stdout.write(str(violation))
        if count:
            self.stderr.write(f"{count} violations")
            sys.exit(1)
        self.stdout.write("ok")
