"""A short storm on one machine; `python -m tests.chaos` plays the long one on a cluster."""

import pytest

from tests.chaos import storm
from tests.chaos.deployments import Single
from tests.chaos.scene import playing
from tests.chaos.storm import Storm
from tests.fakes.provider import FakeProvider

pytestmark = pytest.mark.chaos


def test_the_ledger_says_what_the_providers_bill() -> None:
    with FakeProvider.in_thread() as provider:
        deployment = Single(provider)
        storm.prepare(deployment, workers=2)
        with playing(deployment, provider) as scene:
            outcome = storm.play(scene, Storm(runs=60))
    print(outcome.told)
    assert not outcome.problems, "\n".join([outcome.told, *outcome.problems])
