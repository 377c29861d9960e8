"""Wrong configuration, found at start and named with the way out."""

import os
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from chat.agent.providers import PROVIDERS


@register()
def check_access(**_: Any) -> list[CheckMessage]:
    """Nobody but the developer may reach a server that is open or shows its insides."""
    env = settings.ENV
    found: list[CheckMessage] = []
    if env.auth == "open" and not env.is_loopback:
        found.append(
            Error(
                f"AUTH=open would let everybody at {env.host!r} read and pay for everything.",
                hint="Set AUTH=required, or HOST=127.0.0.1 for your own machine.",
                id="chat.E001",
            )
        )
    if env.debug and not env.is_loopback:
        found.append(
            Error(
                f"DEBUG is on while the server listens at {env.host!r}.",
                hint="Set DEBUG=0.",
                id="chat.E002",
            )
        )
    if not env.is_loopback and (not env.allowed_hosts or "*" in env.allowed_hosts):
        allowed = "every" if env.allowed_hosts else "no"
        found.append(
            Error(
                f"The server listens at {env.host!r}, and {allowed} host name is allowed.",
                hint="Set ALLOWED_HOSTS to the names that clients use, separated by commas.",
                id="chat.E003",
            )
        )
    if env.auth == "open" and "*" in env.cors_origins:
        found.append(
            Warning(
                "CORS_ORIGINS=* with AUTH=open lets any page that you visit read and pay here.",
                hint="Name the origins of your own pages.",
                id="chat.W003",
            )
        )
    return found


@register()
def check_manifest(**_: Any) -> list[CheckMessage]:
    """Keys of the manifest that mean nothing are misspelt, or promise what is not done."""
    manifest = settings.ENV.manifest
    if manifest is None:
        return []
    found: list[CheckMessage] = [
        Warning(f"The manifest's {key} means nothing here.", id="chat.W002")
        for key in manifest.unknown()
    ]
    if unheeded := manifest.spec.memory.unheeded:
        found.append(
            Warning(
                f"Conversations are kept in the database, whatever the manifest says in"
                f" spec.memory ({', '.join(unheeded)}).",
                hint="Older turns are left out, not summarised: see window_size, max_token_limit.",
                id="chat.W004",
            )
        )
    return found


@register()
def check_provider(**_: Any) -> list[CheckMessage]:
    """The provider that is asked for must be there, and have what it needs."""
    wanted = settings.ENV.llm_provider
    # `manage.py up` starts the local model and tells its children where it is.
    if not wanted or wanted == "local":
        return []
    if wanted not in PROVIDERS:
        return [
            Error(
                f"Unsupported LLM provider: {wanted} (supported: openai, anthropic, gemini)",
                hint=f"LLM_PROVIDER may be {', '.join(PROVIDERS)}.",
                id="chat.E004",
            )
        ]
    why = f"LLM_PROVIDER={wanted} asks for it."
    if settings.ENV.manifest and "LLM_PROVIDER" not in os.environ:
        why = "The manifest's spec.llm.provider asks for it. LLM_PROVIDER=scripted needs no key."
    return _needs(wanted, why)


@register()
def check_fallbacks(**_: Any) -> list[CheckMessage]:
    """A model to fall back to that could never be asked is no help when it is needed."""
    found: list[CheckMessage] = []
    for model in settings.ENV.llm_fallback_models:
        provider, _colon, name = model.partition(":")
        if provider not in PROVIDERS or not name:
            found.append(
                Error(
                    f"LLM_FALLBACK_MODELS names {model!r}, which is no model.",
                    hint=f"Write provider:model; providers are {', '.join(PROVIDERS)}.",
                    id="chat.E006",
                )
            )
        elif provider != "local":
            found += _needs(provider, f"LLM_FALLBACK_MODELS names {model}.")
    return found


def _needs(provider: str, why: str) -> list[CheckMessage]:
    if PROVIDERS[provider].is_available():
        return []
    return [Error(PROVIDERS[provider].needs, hint=why, id="chat.E005")]
