"""`manage.py ledger_audit`: prove every entry of the ledger, and every total from its entries."""

from collections.abc import Iterable

from costs import audit
from costs.management.auditing import AuditCommand
from costs.models import LedgerEntry


class Command(AuditCommand):
    help = "Prove the ledger from usage and prices; says ok, or names each violation."

    def violations(self) -> Iterable[object]:
        return audit.violations()

    def proven(self) -> str:
        return f"ok: {LedgerEntry.objects.count()} entries"
