"""`manage.py create_api_key <user> <name>`: make a key for a program, and print it once."""

from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser

from chat import api_keys


class Command(BaseCommand):
    help = "Make a key with which a program acts for a user. It is printed this once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", help="the name of the user")
        parser.add_argument("name", help="what the key is for")

    def handle(self, *args: Any, user: str, name: str, **options: Any) -> None:
        found = User.objects.filter(username=user, is_active=True).first()
        if found is None:
            raise CommandError(f"There is no active user {user!r}")
        _, text = api_keys.create(found, name=name[:80])
        self.stdout.write(text)
