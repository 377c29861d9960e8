"""AgentTheo: `GET /stream`, one command and its events."""

from typing import Annotated

from django.http import HttpResponseBase
from ninja import Query

from chat import asking
from chat.commands import MessageText
from chat.dialects import agentcore, streams
from chat.dialects.agentcore import Payload
from chat.rest import CallerRequest, Refusal, api, refuse_foreign_page
from chat.wire.theo import RETRY_MS, StreamMode, TheoEncoder

MANNER = streams.Manner(retry_ms=RETRY_MS)


@api.get("/stream", **streams.DESCRIBED)
async def stream(
    request: CallerRequest,
    command: Annotated[MessageText | None, Query()] = None,
    message_id: Annotated[str | None, Query(alias="messageId", max_length=200)] = None,
    stream_mode: StreamMode = "messages",
    session_id: str | None = None,
    prompt: Annotated[MessageText | None, Query()] = None,
) -> HttpResponseBase:
    """Give a command, and be told what comes of it; or with `prompt` as `POST /stream` does."""
    refuse_foreign_page(request)
    if command is None and prompt is not None:
        return await agentcore.stream(request, Payload(prompt=prompt, session_id=session_id))
    if command is None or message_id is None:
        raise Refusal(422, "invalid", "command and messageId are needed, or prompt")
    encoder = TheoEncoder(message_id=message_id, mode=stream_mode)
    if gone_on := await streams.resumed(request, encoder, MANNER):
        return gone_on
    session = await asking.session_for(request.auth, session_id)
    asked = await asking.ask(request.auth, session, command)
    return streams.stream(request, asked, encoder, MANNER)
