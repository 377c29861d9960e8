"""The APIs that the provider speaks, by the path of a request."""

from tests.fakes import gemini_content
from tests.fakes.anthropic_messages import Messages
from tests.fakes.api import Api
from tests.fakes.gemini_content import GenerateContent
from tests.fakes.openai_chat import ChatCompletions
from tests.fakes.openai_responses import Responses

APIS: dict[str, Api] = {
    "/v1/chat/completions": ChatCompletions(),
    "/v1/messages": Messages(),
    "/v1/responses": Responses(),
}
GEMINI = GenerateContent()


def find_api(path: str) -> Api | None:
    """The API of a path; Gemini's has the model and the method in it."""
    return GEMINI if gemini_content.PATH.fullmatch(path) else APIS.get(path)
