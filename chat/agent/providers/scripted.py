"""A deterministic provider: shows streaming, tools, failures and costs without any model.

What it does can be asked for in the message, between double brackets:
`[[tokens=200 delay_ms=20]]`, `[[tool=calculator args={"expression":"6*7"}]]`,
`[[tokens=50 fail=unavailable fail_after=5]]`.
"""

from typing import TYPE_CHECKING

from chat.agent.providers.contract import Provider
from costs import pricing

if TYPE_CHECKING:
    from chat.agent.metered import Metered

MODEL = "demo"
#: USD per million tokens; invented, so that costs can be seen.
INPUT_PRICE, OUTPUT_PRICE = "1.00", "4.00"


def _build(model: str) -> "Metered":
    # Only workers need it, and loading it takes longer than all the rest.
    from chat.agent.providers import scripted_model

    return scripted_model.MeteredScriptedChatModel()


PROVIDER = Provider(
    name="scripted",
    models=lambda: [MODEL],
    is_available=lambda: True,
    build=_build,
    price=lambda model, at: pricing.flat_price(
        source="scripted", provider="scripted", model=model, input=INPUT_PRICE, output=OUTPUT_PRICE
    ),
    window_tokens=16_000,
)
