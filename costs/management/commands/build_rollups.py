"""`manage.py build_rollups`: make the daily sums that reports read."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from costs import rollups


class Command(BaseCommand):
    help = "Sum the days that are over and not summed yet. Workers do it by themselves."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--again", action="store_true", help="sum all days anew")

    def handle(self, *args: Any, again: bool, **options: Any) -> None:
        if again:
            rollups.forget()
        count = 0
        while rollups.build():
            count += 1
        self.stdout.write(f"{count} {'day' if count == 1 else 'days'} summed")
