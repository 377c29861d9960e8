"""Whose a budget is: from what operators call users, keys, sessions and models to their keys.

A budget of somebody who is not there would limit nothing.
"""

from chat import principals
from chat.agent.providers import PROVIDERS
from chat.models import ApiKey, ChatSession
from costs.budget_models import Budget

Scope = Budget.Scope


class UnknownKey(ValueError):
    """Nobody is called so; the message says how they are called."""


def resolve(scope: str, text: str) -> str:
    """The key of a budget, empty for everybody. Raises UnknownKey."""
    match scope:
        case Scope.EVERYTHING if text:
            raise UnknownKey("Leave it empty: this budget is for everything together.")
        case _ if not text:
            return ""
        case Scope.USER:
            return _user(text)
        case Scope.API_KEY:
            return _api_key(text)
        case Scope.SESSION:
            return _session(text)
        case _:
            return _model(text)


def _user(text: str) -> str:
    key = principals.owner_key_of(text)
    if key is None or key not in {principals.EVERYBODY.owner_key, *principals.names_of([key])}:
        raise UnknownKey("There is no such user; write a user's name, or user:5.")
    return key


def _api_key(text: str) -> str:
    number = {"pk": int(text)} if text.isdecimal() and len(text) < 18 else {"name": text}
    found = list(ApiKey.objects.filter(**number, revoked_at=None)[:2])
    if len(found) != 1:
        said = "Several API keys have this name" if found else "There is no such API key in use"
        raise UnknownKey(f"{said}; write its number or its name.")
    return str(found[0].pk)


def _session(text: str) -> str:
    ids = {text, ChatSession.id_in_ledger_key(text)}
    keys = [session.ledger_key for session in ChatSession.objects.filter(session_id__in=ids)]
    if text in keys:
        return text
    if len(keys) != 1:
        several = f"Several users have a session of this id: {', '.join(keys[:5])}."
        raise UnknownKey(several if keys else "There is no such session; write its id.")
    return keys[0]


def _model(text: str) -> str:
    provider, _, name = text.partition(":")
    if provider not in PROVIDERS or not name:
        known = ", ".join(PROVIDERS)
        raise UnknownKey(f"Write provider:model; the providers are {known}.")
    return text
