"""`Provider`: ask a running Chatledger for one answer, whole or piece by piece.

Each answer is a run of its own, charged like any other. CHATLEDGER_URL says where to ask,
CHATLEDGER_API_KEY by which key.
"""

import asyncio
import inspect
import json
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx

#: Between two words of an answer, a keep-alive comes every few seconds.
TIMEOUT = httpx.Timeout(30.0, read=60.0)
ENDS = ("run.finished", "run.failed", "run.cancelled")


@dataclass(frozen=True)
class Message:
    content: str
    role: str = "user"


@dataclass(frozen=True)
class CompletionRequest:
    """What to answer; earlier messages are given to the model as a transcript."""

    messages: list[Message]
    #: "<provider>:<model>"; None is the provider's.
    model: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None


@dataclass(frozen=True)
class CompletionResponse:
    content: str
    model: str
    #: Tokens by class and their sums.
    usage: dict[str, Any]
    #: In USD as decimal text, or None when the model has no known price.
    cost: str | None


class Provider:
    """Answers by `model`, else by the default of the server."""

    supports_streaming = True

    def __init__(self, model: str | None = None) -> None:
        self._model = model

    def complete(self, request: CompletionRequest) -> CompletionResponse:
        """Give the whole answer. Raises ConnectionError, or RuntimeError when there is none."""
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(asyncio.run, self.stream(request, lambda chunk: None)).result()

    async def stream(
        self, request: CompletionRequest, on_chunk: Callable[[str], Any]
    ) -> CompletionResponse:
        """Call `on_chunk` with each piece, and give the whole answer at the end.

        What `on_chunk` raises stops the answer and is raised again; it may be a coroutine. Raises
        ConnectionError and RuntimeError too, after the pieces that came.
        """
        async with httpx.AsyncClient(base_url=_url(), headers=_key(), timeout=TIMEOUT) as client:
            try:
                return await self._answer(client, request, on_chunk)
            except httpx.TransportError as error:
                raise ConnectionError(str(error) or repr(error)) from error

    async def _answer(
        self, client: httpx.AsyncClient, request: CompletionRequest, on_chunk: Callable[[str], Any]
    ) -> CompletionResponse:
        session = f"/api/sessions/{(await _post(client, '/api/sessions', {}))['session_id']}"
        started = await _post(client, f"{session}/messages", self._asked(request))
        run_path = f"/api/runs/{started['run_id']}"
        text = ""
        try:
            async for piece in _pieces(client, f"{session}/events", started["seq"]):
                text += piece
                told = on_chunk(piece)
                if inspect.isawaitable(told):
                    await told
        except BaseException:
            await _post(client, f"{run_path}/cancel", {})
            raise
        run = _read(await client.get(run_path))
        if run["status"] != "finished":
            raise RuntimeError(run["error"]["detail"] if run["error"] else run["status"])
        # Nobody comes back to it. What it has cost stays in the ledger.
        await client.delete(session)
        return CompletionResponse(text, run["model"], run["usage"], run["cost"])

    def _asked(self, request: CompletionRequest) -> dict[str, Any]:
        *earlier, last = request.messages
        said = "".join(f"{message.role}: {message.content}\n\n" for message in earlier)
        asked = {
            "text": said + last.content,
            "model": request.model or self._model,
            "temperature": request.temperature,
            "max_tokens": request.max_tokens,
        }
        return {name: value for name, value in asked.items() if value is not None}


async def _pieces(client: httpx.AsyncClient, path: str, after: int) -> AsyncIterator[str]:
    async with client.stream("GET", path, params={"after": after}) as response:
        if response.is_error:
            await response.aread()
            _read(response)
        async for line in response.aiter_lines():
            if not line.startswith("data: {"):
                continue
            event = json.loads(line.removeprefix("data: "))
            if event["type"] == "text.delta":
                yield event["delta"]
            elif event["type"] in ENDS:
                return
    raise ConnectionError("The answer was cut off")


async def _post(client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    return _read(await client.post(path, json=body))


def _read(response: httpx.Response) -> dict[str, Any]:
    try:
        body: dict[str, Any] = response.json()
    except ValueError:
        body = {}
    if response.is_error:
        detail = body.get("detail", response.reason_phrase)
        raise RuntimeError(f"{response.status_code}: {detail}")
    return body


def _url() -> str:
    return os.environ.get("CHATLEDGER_URL", "http://localhost:8000").rstrip("/")


def _key() -> dict[str, str]:
    key = os.environ.get("CHATLEDGER_API_KEY")
    return {"X-API-Key": key} if key else {}
