"""Other models that are asked when the chosen one cannot answer and has said nothing yet."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from langchain.agents.middleware import wrap_model_call
from langchain.agents.middleware.types import ModelRequest, ModelResponse

from chat import database
from chat.agent import catalog
from chat.agent.errors import AgentError
from chat.call_meter import Target
from chat.metering import Meter

Handler = Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]


def middleware(models: Sequence[str], meter: Meter, options: Mapping[str, float]) -> Any:
    """Make the agent's middleware that asks `models` in their order, each at its own price."""

    @wrap_model_call
    async def ask_others(request: ModelRequest[Any], handler: Handler) -> ModelResponse[Any]:
        left = iter(models)
        while True:
            try:
                return await handler(request)
            except AgentError as failure:
                model = next(left, None)
                if not failure.is_passing or model is None:
                    raise
                request = await _asking(request, model, meter, options)

    return ask_others


async def _asking(
    request: ModelRequest[Any], model: str, meter: Meter, options: Mapping[str, float]
) -> ModelRequest[Any]:
    provider, name = catalog.resolve(model)
    tariff = await database.read(catalog.tariff, provider.name)
    chat_model = provider.build(name)
    chat_model.measure_with(meter, Target(provider=provider.name, model=name, tariff=tariff))
    chat_model.adjust(**options)
    return request.override(model=chat_model, tools=request.tools if provider.has_tools else [])
