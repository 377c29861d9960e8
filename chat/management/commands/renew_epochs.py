"""`manage.py renew_epochs`: to be run once after the database was restored from a backup."""

from typing import Any

from django.core.management.base import BaseCommand

from chat import sessions


class Command(BaseCommand):
    help = "Make clients begin anew: their positions are from before the backup was restored."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"{sessions.renew_epochs()} sessions have a new epoch")
