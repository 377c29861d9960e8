"""`make bench`: measures Chatledger and the reference in turn, and writes RESULTS.md.

Only a run at all levels and of full length writes the report; any other prints its tables.
"""

import argparse
import sys
import tempfile
from asyncio import Runner
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import uvloop

from tests.benchmarks import profiling, report, systems
from tests.benchmarks.client import WrongAnswer
from tests.benchmarks.measure import Measurement, measure, median, warm_up
from tests.benchmarks.processes import NotRunning
from tests.benchmarks.report import Pair
from tests.benchmarks.systems import System

LEVELS, SECONDS = "20,50,100", 10.0
RESULTS = Path(__file__).with_name("RESULTS.md")


def main() -> None:
    options = parse(sys.argv[1:])
    try:
        with tempfile.TemporaryDirectory(prefix="chatledger-bench-") as folder:
            pairs = run(options, Path(folder))
    except (WrongAnswer, NotRunning) as error:
        sys.exit(f"The benchmark failed. {error}")
    print(f"\n{report.tables(pairs)}")
    if options.streams == LEVELS and options.seconds >= SECONDS and not options.profile:
        command = " ".join(("python -m tests.benchmarks", *sys.argv[1:]))
        report.write(RESULTS, pairs, command=command, repeat=options.repeat)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--streams", default=LEVELS, help="how many at once, level by level")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long each stream lasts")
    parser.add_argument("--repeat", type=int, default=1, help="measure so often, take medians")
    parser.add_argument("--quick", action="store_true", help="a short run of few streams")
    parser.add_argument("--profile", action="store_true", help="also show where the time goes")
    options = parser.parse_args(arguments)
    if options.quick:
        options.streams, options.seconds = "5", 2.0
    options.levels = [int(level) for level in options.streams.split(",")]
    return options


def run(options: argparse.Namespace, folder: Path) -> list[Pair]:
    """Start everything, and measure level by level. Raises WrongAnswer or NotRunning."""
    with ExitStack() as stack:
        base_url = stack.enter_context(systems.fake_provider(folder))
        ours = stack.enter_context(systems.chatledger(folder, base_url))
        other = stack.enter_context(systems.reference(folder, base_url))
        runner = stack.enter_context(Runner(loop_factory=uvloop.new_event_loop))
        for system in (ours, other):
            runner.run(warm_up(system))
        pairs = [level(runner, ours, other, streams, options) for streams in options.levels]
        if options.profile:
            for system in (ours, other):
                profile(runner, system, folder, options)
        return pairs


def level(
    runner: Runner, ours: System, other: System, streams: int, options: argparse.Namespace
) -> Pair:
    """Both systems at one level, one after the other, as often as asked for."""
    found: dict[str, list[Measurement]] = {}
    for _ in range(options.repeat):
        for system in (ours, other):
            one = runner.run(measure(system, streams=streams, seconds=options.seconds))
            found.setdefault(system.name, []).append(one)
            print(
                f"{streams:4} streams  {system.name:10}  {one.total_cpu_us:6.0f} µs CPU a token"
                f"  p50 {one.p50_ms:.1f} ms  p99 {one.p99_ms:.1f} ms",
                flush=True,
            )
    return median(found[ours.name]), median(found[other.name])


def profile(runner: Runner, system: System, folder: Path, options: argparse.Namespace) -> None:
    """Sample a system at the highest level; what it spends under samples is not reported."""
    program = profiling.find()
    if program is None:
        print("\nThere is no py-spy here, so nothing is profiled.")
        return
    seconds = options.seconds
    with profiling.sampling(program, system, folder=folder, seconds=seconds):
        runner.run(measure(system, streams=options.levels[-1], seconds=seconds))


if __name__ == "__main__":
    main()
