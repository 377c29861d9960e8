"""The providers of models. A new provider is one file and one line here."""

from chat.agent.providers import anthropic, gemini, local, openai, openrouter, scripted
from chat.agent.providers.contract import Provider

PROVIDERS: dict[str, Provider] = {
    "openai": openai.PROVIDER,
    "anthropic": anthropic.PROVIDER,
    "gemini": gemini.PROVIDER,
    "openrouter": openrouter.PROVIDER,
    "local": local.PROVIDER,
    "scripted": scripted.PROVIDER,
}
