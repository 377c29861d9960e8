"""A viewer for terminals: send a message, follow a session live, replay it, stop its run.

Needs rich, httpx and websockets. Exit codes: 0 done, 1 the run failed or the server refused,
2 wrong usage, 3 no server, 4 no or a wrong key, 5 no such session, 130 stopped.
"""

import argparse
import asyncio
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import aclosing, contextmanager, suppress
from datetime import datetime

from chatledger_client import (
    TERMINAL,
    Chatledger,
    ChatledgerError,
    Event,
    NotFound,
    Unauthorized,
    Unavailable,
)
from display import Display, display

REFUSED, AWAY, UNAUTHORIZED, UNKNOWN, STOPPED = 1, 3, 4, 5, 130
ENDS = {"run.finished": 0, "run.failed": REFUSED, "run.cancelled": STOPPED}
#: In a replay nobody waits longer than this for the next message.
LONGEST_PAUSE_S = 2.0


async def send(chat: Chatledger, options: argparse.Namespace, shown: Display) -> int:
    """Send a message and show its answer. Ctrl-C stops the run, a second one leaves."""
    text = sys.stdin.read() if options.text == "-" else options.text
    session_id = (await chat.create_session(options.session))["session_id"]
    shown.note(f"[session {session_id}]")
    sent = await chat.send(session_id, text, model=options.model, if_running=options.if_running)
    events = chat.follow(session_id, after=sent["seq"], on_connection=shown.notice_connection)
    with stopped_by_interrupt(chat, sent["run_id"], shown):
        async with aclosing(events):
            async for event in events:
                if event.get("run_id") != sent["run_id"]:
                    continue
                shown.show(event)
                if event["type"] in TERMINAL:
                    return ENDS[event["type"]]
    return REFUSED


async def tail(chat: Chatledger, options: argparse.Namespace, shown: Display) -> int:
    """Show what happens in a session, from the start of a run that is active, until Ctrl-C."""
    after = None
    if active := (await chat.session(options.session))["active_run_id"]:
        async for message in chat.messages(options.session):
            if message["run_id"] == active:
                after = message["seq"] - 1
                break
    events = chat.follow(options.session, after=after, on_connection=shown.notice_connection)
    async with aclosing(events):
        async for event in events:
            shown.show(event)
    return 0


async def replay(chat: Chatledger, options: argparse.Namespace, shown: Display) -> int:
    """Show a session from its beginning, as fast as it happened or faster."""
    last_seq = (await chat.session(options.session))["last_seq"]
    seq, at = 0, None
    events = chat.follow(options.session, after=0, on_connection=shown.notice_connection)
    async with aclosing(events):
        while seq < last_seq:
            event = await anext(events)
            seq = event["after"] if event["type"] == "stream.reset" else event["seq"]
            now = datetime.fromisoformat(event["at"]) if "at" in event else at
            took_s = (now - at).total_seconds() if now and at else 0.0
            for piece, pause_s in pieces(event, took_s=took_s / options.speed):
                await asyncio.sleep(pause_s)
                shown.show(piece)
            at = now
    return 0


async def stop(chat: Chatledger, options: argparse.Namespace, shown: Display) -> int:
    """Stop the run that is active in a session; its text is kept."""
    run_id = (await chat.session(options.session))["active_run_id"]
    if run_id is None:
        shown.note("Nothing is running.")
    else:
        await chat.cancel(run_id)
        shown.note(f"Run {run_id} is stopped.")
    return 0


def pieces(event: Event, *, took_s: float) -> Iterator[tuple[Event, float]]:
    """An event and the pause before it. A delta comes joined from the log: here word by word."""
    if event["type"] != "text.delta":
        yield event, min(took_s, LONGEST_PAUSE_S)
        return
    words = re.findall(r"\S+\s*|\s+", event["delta"])
    for word in words[:-1]:
        yield {**event, "delta": word, "tokens": 0}, took_s / len(words)
    yield {**event, "delta": words[-1] if words else ""}, took_s / max(len(words), 1)


@contextmanager
def stopped_by_interrupt(chat: Chatledger, run_id: str, shown: Display) -> Iterator[None]:
    """Let the first Ctrl-C stop the run, whose end is then shown, and the second one leave."""
    loop, tasks = asyncio.get_running_loop(), set()

    async def cancel() -> None:
        try:
            await chat.cancel(run_id)
        except ChatledgerError as error:
            shown.note(f"The run could not be stopped: {error}")

    def interrupted() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        shown.note("[stopping; Ctrl-C again leaves]")
        tasks.add(loop.create_task(cancel()))

    # Windows has no such handlers: there Ctrl-C leaves at once.
    with suppress(NotImplementedError):
        loop.add_signal_handler(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        with suppress(NotImplementedError):
            loop.remove_signal_handler(signal.SIGINT)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    server = argparse.ArgumentParser(add_help=False)
    url = os.environ.get("CHATLEDGER_URL", "http://localhost:8000")
    server.add_argument("--url", default=url, help="CHATLEDGER_URL, or http://localhost:8000")
    key = os.environ.get("CHATLEDGER_API_KEY")
    server.add_argument("--api-key", default=key, help="better as CHATLEDGER_API_KEY")
    parser = argparse.ArgumentParser(prog="viewer.py", description="Chatledger on a terminal.")
    commands = parser.add_subparsers(required=True)
    for command in (send, tail, replay, stop):
        told = command.__doc__
        added = commands.add_parser(command.__name__, parents=[server], help=told, description=told)
        added.set_defaults(command=command)
        if command is send:
            added.add_argument("text", help="the message; - reads it from stdin")
            added.add_argument("--session", help="its id; made when there is none")
            added.add_argument("--model", help="for example openai:gpt-4o-mini")
            choices = ["reject", "enqueue", "interrupt", "rollback"]
            added.add_argument("--if-running", default="reject", choices=choices)
        else:
            added.add_argument("session")
        if command is replay:
            added.add_argument("--speed", type=_speed, default=1.0, help="2 is twice as fast")
    return parser.parse_args(arguments)


def _speed(text: str) -> float:
    speed = float(text)
    if not speed > 0:
        raise argparse.ArgumentTypeError("a speed is a number above 0")
    return speed


async def carry_out(options: argparse.Namespace, shown: Display) -> int:
    async with Chatledger(options.url, api_key=options.api_key) as chat:
        code: int = await options.command(chat, options, shown)
        return code


def main() -> int:
    options, shown = parse(), display()
    try:
        return asyncio.run(carry_out(options, shown))
    except KeyboardInterrupt:
        return STOPPED
    except BrokenPipeError:
        # Whoever read stdout has left; Python would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return REFUSED
    except Unauthorized:
        problem, code = "The server wants a key: set CHATLEDGER_API_KEY.", UNAUTHORIZED
    except Unavailable as error:
        problem, code = str(error), AWAY
    except NotFound:
        problem, code = f"There is no session {options.session!r} for you.", UNKNOWN
    except ChatledgerError as error:
        problem, code = f"{error} ({error.code})", REFUSED
    finally:
        shown.close()
    sys.stderr.write(f"viewer: {problem}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
