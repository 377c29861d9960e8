"""`manage.py ledger_audit`: prove every entry of the ledger, and every total from its entries."""

import sys
from typing import Any

from django.core.management.base import BaseCommand

from costs import audit
from costs.models import LedgerEntry


class Command(BaseCommand):
    help = "Prove the ledger from usage and prices; says ok, or names each violation."

    def handle(self, *args: Any, **options: Any) -> None:
        count = 0
        for violation in audit.violations():
            count += 1
            self.stdout.write(str(violation))
        if count:
            self.stderr.write(f"{count} violations")
            sys.exit(1)
        self.stdout.write(f"ok: {LedgerEntry.objects.count()} entries")
