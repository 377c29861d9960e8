"""The providers of models. A new provider is one file and one line here."""

from chat.agent.providers import local, openai, scripted
from chat.agent.providers.contract import Provider

PROVIDERS: dict[str, Provider] = {
    "openai": openai.PROVIDER,
    "local": local.PROVIDER,
    "scripted": scripted.PROVIDER,
}
