"""All providers of the product, with one fake server behind them."""

#: One model of each wire format, and a second provider that speaks the first one.
MODELS = (
    "openai:gpt-4o-mini",
    "openai:o3-pro",
    "anthropic:claude-sonnet-4-5",
    "gemini:gemini-2.5-flash",
    "openrouter:anthropic/claude-sonnet-4.5",
)


def settings(root_url: str, *, key: str) -> dict[str, str]:
    """The environment that sends the requests to all of them to one address."""
    return {
        "OPENAI_API_KEY": key,
        "OPENAI_BASE_URL": f"{root_url}/v1",
        "ANTHROPIC_API_KEY": key,
        "ANTHROPIC_BASE_URL": root_url,
        "GOOGLE_API_KEY": key,
        "GEMINI_BASE_URL": root_url,
        "OPENROUTER_API_KEY": key,
        "OPENROUTER_BASE_URL": f"{root_url}/v1",
    }
