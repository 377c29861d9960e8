"""An application that misbehaves, behind the product's own server; a program of its own."""

import asyncio
import sys
from typing import Any

from project.server import Daphne

running = 0


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Fail half-way through `/half`, never end `/endless`, else tell how many are running."""
    global running
    running += 1
    try:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["path"] == "/half":
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
            raise ValueError("half-way")
        if scope["path"] == "/endless":
            await asyncio.Event().wait()
        await send({"type": "http.response.body", "body": b"running %d." % running})
    finally:
        running -= 1


if __name__ == "__main__":
    Daphne().run([*sys.argv[1:], "tests.process.failing_application:application"])
