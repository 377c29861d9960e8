"""`manage.py reprice`: post what calls cost whose price was not known when they were charged."""

from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.dateparse import parse_datetime

from chat.agent import catalog
from costs import money, repricing

UNKNOWN = "unknown"
COLUMNS = "{:36}  {:16}  {:32}  {:>18}  {:>18}  {}"


class Command(BaseCommand):
    help = "Price calls that had no price; what was charged is reversed and posted anew."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--model", default="*", help="a model's name as the provider says it, or a pattern"
        )
        parser.add_argument("--since", help="calls that started at this time or later, in UTC")
        parser.add_argument(
            "--priced",
            action="store_true",
            help="also calls that have a price, where another one holds by now for their time",
        )
        parser.add_argument("--dry-run", action="store_true", help="only say what would be done")

    def handle(self, *args: Any, **options: Any) -> None:
        found = repricing.corrections(
            tariff_of=catalog.tariff,
            model=options["model"],
            since=_time(options["since"]),
            includes_priced=options["priced"],
            is_dry_run=options["dry_run"],
        )
        count = difference_pico = 0
        for done in found:
            if not count:
                self._row("call", "started (UTC)", "model", "before, USD", "after, USD", "price")
            count += 1
            difference_pico += (done.after_pico or 0) - (done.before_pico or 0)
            self._row(
                str(done.call_id),
                f"{done.started_at.astimezone(UTC):%Y-%m-%d %H:%M}",
                done.model,
                done.before or UNKNOWN,
                done.after or UNKNOWN,
                done.source,
            )
        said = "To be corrected" if options["dry_run"] else "Corrected"
        self.stdout.write(f"{said}: {count}, {money.plain(difference_pico)} USD more")
        if not options["dry_run"]:
            for model, calls in repricing.unpriced_models():
                self.stdout.write(f"Still without a price: {model} ({calls})")

    def _row(self, *cells: str) -> None:
        self.stdout.write(COLUMNS.format(*cells))


def _time(given: str | None) -> datetime | None:
    if given is None:
        return None
    try:
        found = parse_datetime(given)
    except ValueError:
        found = None
    if found is None:
        raise CommandError(f"--since {given!r} is no time; write it like 2026-11-01T00:00.")
    return found if found.tzinfo else found.replace(tzinfo=UTC)
