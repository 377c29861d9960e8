"""What a provider of models has to tell and do."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from costs.pricing import Price

if TYPE_CHECKING:
    from chat.agent.metered import Metered


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A source of models. The functions are given the model's name without the provider's."""

    name: str
    #: Names of the models to offer; the first one is the default.
    models: Callable[[], list[str]]
    #: Whether it can be used as things are: its key is set, its package is installed.
    is_available: Callable[[], bool]
    #: What is missing when it is not available, in a sentence for whoever starts the service.
    needs: str = ""
    build: Callable[[str], "Metered"]
    price: Callable[[str, datetime], Price | None]
    #: How much of a conversation is sent, in tokens.
    window_tokens: int
    prompt: str = "default"
    has_tools: bool = True
    #: Whether any model name may be asked for, or only those in `models`.
    takes_any_model: bool = False
