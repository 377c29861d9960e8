"""`manage.py audit`: check what must always hold, over the whole database."""

from collections.abc import Iterable

from chat import audit
from costs.management.auditing import AuditCommand


class Command(AuditCommand):
    help = "Check every session and the whole ledger; says ok, or names each violation."

    def violations(self) -> Iterable[object]:
        return audit.violations()
