"""`make chaos`: every row of the fault matrix at full load, a storm, and the report of it."""

import argparse
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path

from tests import install_nginx
from tests.chaos import report, storm
from tests.chaos.deployments import Cluster, Single
from tests.chaos.faults import rows_of
from tests.chaos.report import Played
from tests.chaos.rows import LONG, SHORT, Profile, Row, Size
from tests.chaos.scene import Scene, playing
from tests.chaos.storm import Storm
from tests.fakes.provider import FakeProvider

RESULTS = Path(__file__).with_name("RESULTS.md")
#: What is asked for beside the rows.
STORM = "storm"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="the load of the test run")
    parser.add_argument("rows", nargs="*", help="only these, and no report")
    options = parser.parse_args()
    install_nginx.main()
    size = SHORT if options.short else LONG
    played = [*play_all("single", size, options.rows), *play_all("cluster", size, options.rows)]
    failed = [item.row.id for item in played if item.problems]
    if not options.rows or STORM in options.rows:
        outcome = blow(60 if options.short else 500)
        failed += [STORM] * bool(outcome.problems)
        if not options.rows:
            report.write(RESULTS, played, outcome, size=size)
    if failed:
        sys.exit(f"not as promised: {', '.join(failed)}")


def play_all(profile: Profile, size: Size, wanted: list[str]) -> Iterator[Played]:
    """Play the rows of one profile on one deployment."""
    rows = [r for r in rows_of(profile, with_long=True) if not wanted or r.id in wanted]
    if not rows:
        return
    log = Path(tempfile.mkdtemp(prefix="chatledger-chaos-")) / "provider.jsonl"
    with FakeProvider.in_thread(log) as provider:
        deployment = Single(provider) if profile == "single" else Cluster(provider)
        with playing(deployment, provider) as scene:
            for row in rows:
                yield play(row, scene, size)


def blow(runs: int) -> storm.Outcome:
    """Let a storm blow over two instances, and say at once what came of it."""
    with FakeProvider.in_thread() as provider:
        deployment = Cluster(provider)
        storm.prepare(deployment, workers=2)
        with playing(deployment, provider) as scene:
            outcome = storm.play(scene, Storm(runs=runs))
    print(f"{STORM:<8} {'ok' if not outcome.problems else 'NOT AS PROMISED'}: {outcome.told}")
    for problem in outcome.problems:
        print(f"         {problem}", flush=True)
    return outcome


def play(row: Row, scene: Scene, size: Size) -> Played:
    """Play one row and say at once what came of it."""
    outcome, problems = None, []
    try:
        outcome = row.play(scene, size)
        problems = [*row.problems(outcome), *scene.audit()]
    except Exception:  # noqa: BLE001 - the other rows are to be played all the same
        problems = [traceback.format_exc()]
    told = f"{outcome.told}, recovery {outcome.recovery_s:.1f} s" if outcome else "not played"
    if outcome:
        told += f", longest gap {outcome.longest_gap_s:.1f} s, {outcome.estimated_calls} estimated"
        told += f" with up to {outcome.most_in_flight} tokens in flight"
    print(f"{row.id:<8} {'ok' if not problems else 'NOT AS PROMISED'}: {told}", flush=True)
    for problem in problems:
        print(f"         {problem}", flush=True)
    return Played(row, outcome, problems)


if __name__ == "__main__":
    main()
