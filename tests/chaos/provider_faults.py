"""What happens to the provider beyond what tests/process/test_faults.py has it do."""

import time

from chat.agent import breakers
from tests.chaos.rows import FINE, Row, Size
from tests.chaos.scene import Outcome, Scene
from tests.chaos.talks import Load


def refuse(scene: Scene) -> None:
    scene.deployment.provider_link.refuse()


def accept(scene: Scene) -> None:
    scene.deployment.provider_link.heal()


def refused(scene: Scene, size: Size) -> Outcome:
    """Answers break in the middle; messages sent meanwhile find nobody and are tried again."""
    outcome = scene.under(
        size.lasting(),
        refuse,
        heal=accept,
        hold_s=10 if size.is_long else 4,
        t_max_s=15,
        meanwhile=Load(streams=4, tokens=10, restless=0, stopping=0),
    )
    # The workers leave the provider alone for a while, which is not for the next row to see.
    time.sleep(breakers.PAUSE_S)
    return outcome


def endless(scene: Scene, size: Size) -> Outcome:
    """A model that calls a tool for ever."""
    load = Load(streams=3, restless=0, stopping=0, wish=ENDLESS_TOOL)
    talks = load.talks([scene.url])
    scene.forget_logs()
    scene.crowd.begin(talks)
    scene.wait_until_ended(talks, timeout_s=120)
    return scene.judge(talks)


def slow(scene: Scene, size: Size) -> Outcome:
    """One token each 10 s for two minutes: longer than any lease lasts."""
    load = Load(streams=5, tokens=12, gap_ms=10_000, stopping=0)
    talks = load.talks([scene.url])
    scene.forget_logs()
    scene.crowd.begin(talks)
    scene.wait_until_ended(talks, timeout_s=load.duration_s + 30)
    return scene.judge(talks)


ENDLESS_TOOL = 'tool=calculator args={"expression":"6*7"} tool_forever=1'

ROWS = (
    Row(
        id="U2",
        fault="the provider refuses connections for 10 s (4 in the short form)",
        profile="cluster",
        seen="open answers end with their text, new ones fail after their retries",
        endings=FINE | {"interrupted", "unavailable"},
        hits=frozenset({"interrupted"}),
        play=refused,
    ),
    Row(
        id="U10",
        fault="a model that calls a tool for ever",
        profile="cluster",
        seen="the run ends at the limit of its steps",
        endings=frozenset({"step_limit"}),
        play=endless,
        is_long=True,
    ),
    Row(
        id="U11",
        fault="one token each 10 s",
        profile="cluster",
        seen="one attempt, however long it takes",
        play=slow,
        is_long=True,
    ),
)
