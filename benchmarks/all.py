"""Print all comparisons of speed side by side, ours and the peers' in the same run, as Markdown.

    python benchmarks/all.py [--only photo video …] [--peers FOLDER] [--busy] [--quick]

Times are medians of alternating rounds, ratios the medians of the rounds' ratios, both by the clock and by the
processor time of all threads. The command prints nothing but a refusal where other programs use more than a tenth of
the processors before or during the run; `--busy` prints nevertheless, and states the load. MediaPipe is always
measured; OpenGL's software rasteriser and the pip package `fer` are installed into FOLDER, aside from this
environment; a peer that cannot be had is left out with one line.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import torch
from timing import HEADINGS, OtherLoad, Row, machine

from smirk3d.networks.threads import network_threads

MAX_OTHER_SHARE = 0.1
"""Other programs may use so much of the processors."""
_IDLE_S = 3.0


@dataclass
class Report:
    """What was measured.

    Attributes:
        rows: Of the table.
        lines: Figures that are no times.
        notes: Peers that were left out.
    """

    rows: list[Row] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Options:
    """What is measured; see the description of the command."""

    only: tuple[str, ...]
    peers: Path | None
    is_busy_allowed: bool
    is_quick: bool


def photo(report: Report, options: Options) -> None:
    """One photo, each method."""
    import reconstruct

    report.rows += reconstruct.compare()


def photos(report: Report, options: Options) -> None:
    """A folder of photos."""
    import photos

    report.rows += photos.compare(48 if options.is_quick else 400)


def video(report: Report, options: Options) -> None:
    """A video, with and without overlay."""
    import video

    report.rows += video.compare(100 if options.is_quick else 300, 1 if options.is_quick else 3)


def start(report: Report, options: Options) -> None:
    """Fresh processes."""
    import first_result

    report.rows += first_result.compare(2 if options.is_quick else 5)


def rasteriser(report: Report, options: Options) -> None:
    """Rasterising and rendering."""
    import rasterizer

    report.rows += rasterizer.compare(options.peers, report.notes.append)


def training(report: Report, options: Options) -> None:
    """A training step."""
    import training_step

    report.rows += training_step.compare()


def recognition(report: Report, options: Options) -> None:
    """Emotions of a face."""
    import recognition

    report.rows += recognition.compare(options.peers, report.notes.append)


def names(report: Report, options: Options) -> None:
    """Memory of a resumed run over many names."""
    import listed_names

    count = 2_000 if options.is_quick else 20_000
    report.lines.append(f"memory, {count:,} names listed and resumed: {listed_names.measure(count)}")


def cluster(report: Report, options: Options) -> None:
    """A local cluster."""
    import cluster

    if find_spec("ray") is None:
        report.notes.append("local cluster: left out (pip install 'smirk3d[scale]')")
    elif is_busy(idle_share()):
        report.notes.append("local cluster: left out (the clock alone measures it, and the machine is busy)")
    else:
        figures = cluster.measure(32 if options.is_quick else 96)
        report.lines.append(f"local Ray cluster of two workers, photos of 256 px: {figures}")


GROUPS: dict[str, Callable[[Report, Options], None]] = {
    group.__name__: group for group in (photo, photos, video, start, rasteriser, training, recognition, names, cluster)
}
_UNSEEN = {"cluster"}
"""Groups whose processes are no children of this one, so that they would count as other load."""


def run(options: Options) -> tuple[Report, float | None]:
    """Measure the groups; return the report, and the largest share of the processors that others used."""
    report, shares = Report(), [idle_share()]
    refuse_where_busy(shares, options)
    for name in options.only:
        load = OtherLoad()
        GROUPS[name](report, options)
        shares += [] if name in _UNSEEN else [load.share()]
        refuse_where_busy(shares, options)
    return report, max((share for share in shares if share is not None), default=None)


def idle_share() -> float | None:
    """Return the share of the processors that others use while this process sleeps."""
    load = OtherLoad()
    time.sleep(_IDLE_S)
    return load.share()


def is_busy(other_share: float | None) -> bool:
    """Return whether others use so much of the processors that times mean nothing."""
    return other_share is not None and other_share > MAX_OTHER_SHARE


def refuse_where_busy(shares: list[float | None], options: Options) -> None:
    """End the program where the last of the shares is too large, and that is not allowed."""
    last = shares[-1]
    if last is not None and is_busy(last) and not options.is_busy_allowed:
        sys.exit(
            f"other programs use {100 * last:.0f} % of the processors: nothing is printed; end them, or print "
            "nevertheless by --busy, with the load beside the figures"
        )


def heading(other_share: float | None) -> str:
    """Return what was measured where."""
    known = "unknown" if other_share is None else f"up to {100 * other_share:.0f} % of the processors"
    busy = other_share is not None and other_share > MAX_OTHER_SHARE
    stamp = (
        "\n\n**The machine was busy: only ratios mean something, and those of processor time most.**" if busy else ""
    )
    versions = f"Python {sys.version.split()[0]}, torch {torch.__version__}"
    threads = f"{network_threads()} for networks beside the detection, {torch.get_num_threads()} of torch otherwise"
    return (
        f"{time.strftime('%Y-%m-%d')}, {commit()}. {machine()}; {versions}. Threads: {threads}. "
        f"Other programs used {known}.{stamp}"
    )


def commit() -> str:
    """Return the commit of the code, with a mark where files have changed since."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=7", "--exclude=*"]
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown commit"


def markdown(report: Report, other_share: float | None) -> str:
    """Return the report as Markdown."""
    table = [HEADINGS, ("---",) * len(HEADINGS), *(row.cells() for row in report.rows)]
    lines = [f"| {' | '.join(cells)} |" for cells in table] if report.rows else []
    return "\n".join([heading(other_share), "", *lines, *bullets(report.lines), *bullets(report.notes)])


def bullets(lines: Iterable[str]) -> list[str]:
    """Return lines as a list of Markdown, after an empty line."""
    items = [f"- {line}" for line in lines]
    return ["", *items] if items else []


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(GROUPS), default=list(GROUPS))
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--busy", action="store_true", help="print on a busy machine, too")
    parser.add_argument("--quick", action="store_true", help="fewer photos, frames and rounds")
    given = parser.parse_args()
    options = Options(tuple(given.only), given.peers, given.busy, given.quick)
    print(markdown(*run(options)))


if __name__ == "__main__":
    main()
