"""Run the commands on mutated inputs of every kind that they read, and report what misbehaves.

    OMP_NUM_THREADS=1 python scripts/mutated_inputs.py --count 1000 --seed 0

Each input runs in a process of its own, for at most 20 seconds and with at most 2 GiB of resident memory. A fault is a
traceback, an internal error, an abort, a longer or larger run, a payload that is executed, and a failure whose message
does not name its file. The exit code is 1 where there are faults. `--kind KIND` runs one kind, `--keep DIR` keeps the
inputs that misbehave, `--verbose` shows every command with its output.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "fixtures"))

from mutated import catalogue, worker


def main() -> int:
    """Run the inputs, print the faults and their counts; return the exit code."""
    options = _options()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    worker.import_commands(quick=options.quick)
    with tempfile.TemporaryDirectory(prefix="mutated-sound-") as folder:
        sound = catalogue.sound_inputs(Path(folder), quick=options.quick)
        return _run(options, sound)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000, help="number of inputs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=catalogue.KINDS, help="one kind of inputs")
    parser.add_argument("--quick", action="store_true", help="only commands that end within a second")
    parser.add_argument("--keep", type=Path, help="folder for the inputs that misbehave")
    parser.add_argument("--verbose", action="store_true", help="show each command and its output")
    return parser.parse_args()


def _run(options: argparse.Namespace, sound: dict[str, str]) -> int:
    counts: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    started_s, slowest, largest = time.monotonic(), 0.0, 0
    for number, case in enumerate(
        catalogue.cases(options.count, options.seed, sound, options.kind, quick=options.quick)
    ):
        place = None if options.keep is None else options.keep / f"{number:05d}"
        outcome = worker.run(case, place)
        if any("hangs" in fault for fault in outcome.faults) and place is None:
            outcome = worker.run(case)  # once more: other programs may have taken the processor
        kinds[case.kind] += 1
        counts.update(fault.split(" ")[0] for fault in outcome.faults)
        slowest, largest = max(slowest, outcome.seconds), max(largest, outcome.peak_bytes)
        if options.verbose or outcome.faults:
            _print(number, outcome)
        if place is not None and not outcome.faults:
            shutil.rmtree(place, ignore_errors=True)
    print(f"inputs: {kinds.total()} ({', '.join(f'{count} {kind}' for kind, count in kinds.items())})")
    print(f"time: {time.monotonic() - started_s:.0f} s; slowest {slowest:.1f} s; largest {largest / 2**20:.0f} MiB")
    print(f"faults: {counts.total()} {dict(counts) or ''}")
    return 1 if counts else 0


def _print(number: int, outcome: worker.Outcome) -> None:
    print(f"#{number} {outcome.case.kind} [{outcome.case.label!r:.160}]: {'; '.join(outcome.faults) or 'ok'}")
    print(
        f"   {outcome.arguments!r:.400}  exit {outcome.code}, {outcome.seconds:.1f} s, {outcome.peak_bytes >> 20} MiB"
    )
    for line in outcome.output.splitlines()[-8:]:
        print(f"   | {line[:300]}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
