"""What clients do: leave at once, stop at the worst moment, come back with any position."""

import asyncio
import json
import random
from collections.abc import Coroutine, Sequence
from typing import Any

from websockets.asyncio.client import connect

from tests.chaos.clients import Json, http
from tests.chaos.rows import FINE, Row, Size
from tests.chaos.scene import Outcome, Scene, read_log
from tests.chaos.talks import Load, Talk
from tests.chaos.worker_faults import LOST_WITHIN_S, kill_worker

QUICK = Load(tokens=10, gap_ms=30, restless=0, stopping=0, repeating=0)
READERS_AT_A_TIME = 100


async def send_and_leave(talk: Talk, socket_url: str) -> None:
    """Send over a WebSocket and close it within 50 ms, whatever happens to the message."""
    await talk.caller.post("/api/sessions", {"session_id": talk.session_id})
    async with connect(f"{socket_url}/ws/sessions/{talk.session_id}", proxy=None) as socket:
        command = {"type": "send_message", "text": talk.text, "idempotency_key": talk.key}
        await socket.send(json.dumps(command))
        await asyncio.sleep(random.choice((0, 0.005, 0.05)))


def left_at_once(scene: Scene, size: Size) -> Outcome:
    """The same message is sent again with its key: it is one run, whatever came of the first."""
    scene.forget_logs()
    load = Load(streams=200 if size.is_long else 20, tokens=10, gap_ms=30, restless=0, stopping=0)
    talks = load.talks([scene.url])
    socket_url = scene.url.replace("http", "ws", 1)

    async def leave_all() -> None:
        await asyncio.gather(*(send_and_leave(talk, socket_url) for talk in talks))

    scene.crowd.thread.run(leave_all())
    scene.crowd.begin(talks)
    scene.wait_until_ended(talks, timeout_s=20 + 0.2 * len(talks))
    return scene.judge(talks)


def stopped_at_worst(scene: Scene, size: Size, *, and_kill: bool = False) -> Outcome:
    scene.forget_logs()
    count = 300 if size.is_long else 30
    talks = Load(streams=count, tokens=30, gap_ms=40, restless=0, stopping=1).talks([scene.url])
    for talk in talks[::2]:
        talk.stops = 2
    scene.crowd.begin(talks)
    if and_kill:
        scene.crowd.wait_for(
            talks[: count // 2], lambda talk: talk.is_streaming or talk.has_ended, timeout_s=60
        )
        kill_worker(scene)
    scene.wait_until_ended(talks, timeout_s=LOST_WITHIN_S + 0.2 * count)
    return scene.judge(talks)


def stopped_and_killed(scene: Scene, size: Size) -> Outcome:
    return stopped_at_worst(scene, size, and_kill=True)


def came_back(scene: Scene, size: Size) -> Outcome:
    """Connect with positions that are stale, equal, ahead, and of another log, on each instance."""
    scene.forget_logs()
    talks = QUICK.talks([scene.url])
    scene.crowd.begin(talks)
    scene.wait_until_ended(talks, timeout_s=30)
    asked = []
    for talk in talks:
        place = f"api/sessions/{talk.session_id}/events"
        log = read_log(f"{scene.url}/{place}", talk.followers[0].position)
        for product in scene.deployment.instances:
            wanted = positions(log) * (10 if size.is_long else 1)
            asked += [resume(f"{product.url}/{place}", log, after) for after in wanted]
    found = scene.crowd.thread.run(_some_at_a_time(asked))
    outcome = scene.judge(talks)
    outcome.problems += [problem for problems in found for problem in problems]
    return outcome


def positions(log: Sequence[Json]) -> list[int]:
    last = log[-1]["seq"]
    return [0, 1, last // 2, last - 1, last, last + 100]


async def resume(url: str, log: Sequence[Json], after: int) -> list[str]:
    """What is wrong with what a reader gets that goes on after this position."""
    last = log[-1]["seq"]
    wanted = [event["seq"] for event in log if event["seq"] > after]
    text = ""
    try:
        async with (
            asyncio.timeout(2),
            http().stream("GET", url, params={"after": after}) as response,
        ):
            async for data in response.aiter_text():
                text += data
                if wanted and f'"seq":{last},' in text:
                    break
    except TimeoutError:
        if wanted:
            return [f"C7: after {after} of {last}: not all of {wanted} within 2 s"]
    told = [json.loads(line[6:]) for line in text.split("\n") if line.startswith("data: {")]
    seqs = [event["seq"] for event in told if "seq" in event]
    if after > last and "event: stream-reset" not in text:
        return [f"G4: no reset for a position ahead of the log: {text[-200:]!r}"]
    if seqs and (seqs[0] <= after or seqs != sorted(set(seqs)) or seqs[-1] != last):
        return [f"C7: after {after} of {last} came {seqs}"]
    return []


async def _some_at_a_time(readers: Sequence[Coroutine[Any, Any, list[str]]]) -> list[list[str]]:
    places = asyncio.Semaphore(READERS_AT_A_TIME)

    async def read(reader: Coroutine[Any, Any, list[str]]) -> list[str]:
        async with places:
            return await reader

    return await asyncio.gather(*map(read, readers))


ROWS = (
    Row(
        id="C4f",
        fault="a client sends and leaves within 50 ms",
        profile="cluster",
        seen="one run, which goes on without it",
        play=left_at_once,
    ),
    Row(
        id="C5f",
        fault="runs stopped at any moment, by one or two devices",
        profile="cluster",
        seen="one end each, within 4 s",
        play=stopped_at_worst,
    ),
    Row(
        id="C5f-kill",
        fault="the same, and their worker killed meanwhile",
        profile="cluster",
        seen="one end each",
        endings=FINE | {"worker_lost"},
        play=stopped_and_killed,
        is_long=True,
    ),
    Row(
        id="C6f",
        fault="clients come back with stale, equal and future positions",
        profile="cluster",
        seen="exactly what is missing, or a reset",
        play=came_back,
    ),
)
