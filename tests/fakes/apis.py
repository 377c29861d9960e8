"""The APIs that the provider speaks, by the path of a request."""

from tests.fakes.anthropic_messages import Messages
from tests.fakes.api import Api
from tests.fakes.openai_chat import ChatCompletions

APIS: dict[str, Api] = {
    "/v1/chat/completions": ChatCompletions(),
    "/v1/messages": Messages(),
}


def find_api(path: str) -> Api | None:
    return APIS.get(path)
