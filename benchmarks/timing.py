"""Alternating rounds of timings with their ratios, and how busy others keep the machine meanwhile."""

from __future__ import annotations

import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Action = Callable[[], object]
COMMAND = (sys.executable, "-c", "import sys; from smirk3d.cli.main import main; sys.exit(main())")
"""The command `smirk3d` of this environment, to which its arguments are appended."""
_CLOCK = "/proc/stat"


@dataclass(frozen=True)
class Cost:
    """What one run of an action took, milliseconds: by the clock, and of processors in all its threads and processes.

    An action that returns a cost is taken at its word, such as a program that measures itself without its start.
    """

    wall_ms: float
    cpu_ms: float


@dataclass(frozen=True)
class Row:
    """One line of a table: the median costs of an item, and the ratios to a peer in the same rounds.

    Attributes:
        what: What was timed.
        cost: Of one item.
        peer: Name of the peer; empty for a peer itself.
        ratio: The median ratios to it; None for a peer itself.
    """

    what: str
    cost: Cost
    peer: str = ""
    ratio: Cost | None = None

    def cells(self) -> tuple[str, ...]:
        """Return the cells of a table: what, ms, items a second, ms of processors, peer, ratios."""
        ratio = "" if self.ratio is None else f"{self.ratio.wall_ms:.2f}; {self.ratio.cpu_ms:.2f}"
        numbers = (_short(self.cost.wall_ms), _short(1e3 / self.cost.wall_ms), _short(self.cost.cpu_ms))
        return (self.what, *numbers, self.peer, ratio)


HEADINGS = ("what", "ms an item", "a second", "ms of processors", "peer", "ratio: time; processors")


def cost_of(action: Action) -> Cost:
    """Run an action once."""
    wall, cpu = time.perf_counter(), own_cpu_s()
    result = action()
    if isinstance(result, Cost):
        return result
    return Cost(1e3 * (time.perf_counter() - wall), 1e3 * (own_cpu_s() - cpu))


def alternate(actions: Mapping[str, Action], rounds: int, warm_up: int = 1) -> dict[str, list[Cost]]:
    """Return the costs of each action in each round; they alternate, so that other load affects all of them.

    Args:
        actions: By name.
        rounds: How often each is timed.
        warm_up: Rounds before those that count.
    """
    costs: dict[str, list[Cost]] = {name: [] for name in actions}
    for round_ in range(rounds + warm_up):
        for name, action in actions.items():
            cost = cost_of(action)
            costs[name] += [cost] if round_ >= warm_up else []
    return costs


def median(costs: Sequence[Cost], items: int = 1) -> Cost:
    """Return the median costs of one of the items that each run worked through."""
    return Cost(*(statistics.median(getattr(c, kind) / items for c in costs) for kind in ("wall_ms", "cpu_ms")))


def rows(costs: Mapping[str, Sequence[Cost]], peer: str | None = None, items: int = 1) -> list[Row]:
    """Return a row for each action, the peer last and without a ratio; names are those of the actions."""
    table = [Row(name, median(own, items), peer or "", _ratio(own, costs, peer)) for name, own in costs.items()]
    own, others = [row for row in table if row.what != peer], [row for row in table if row.what == peer]
    return own + [Row(row.what, row.cost) for row in others]


def _ratio(own: Sequence[Cost], costs: Mapping[str, Sequence[Cost]], peer: str | None) -> Cost | None:
    if peer is None:
        return None
    pairs = list(zip(own, costs[peer], strict=True))
    # A peer that waits for its own thread alone may show no processor time of ours.
    return median([Cost(a.wall_ms / b.wall_ms, a.cpu_ms / max(b.cpu_ms, 1e-3)) for a, b in pairs])


def _short(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def own_cpu_s() -> float:
    """Return the processor time of this process and of its children that have ended, seconds."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def machine_cpu_s(clock: str | None = None) -> float | None:
    """Return the processor time of all programs since the machine started, seconds; None where it is not known.

    Args:
        clock: The text of Linux's /proc/stat; None reads it.
    """
    if clock is None:
        if not Path(_CLOCK).exists():
            return None
        clock = Path(_CLOCK).read_text()
    user, nice, system, _, _, irq, softirq, steal = (int(field) for field in clock.split("\n")[0].split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


class OtherLoad:
    """Measures from its creation on how much of the machine's processors others use."""

    def __init__(self) -> None:
        self._began = (machine_cpu_s(), own_cpu_s(), time.perf_counter())

    def share(self) -> float | None:
        """Return their share of all processors in [0, 1]; None where it is not known. Ended children count as own."""
        machine, own, wall = self._began
        now = machine_cpu_s()
        if machine is None or now is None:
            return None
        available = (time.perf_counter() - wall) * (os.cpu_count() or 1)
        return max(0.0, (now - machine) - (own_cpu_s() - own)) / available


def machine() -> str:
    """Return the processor, the cores and the memory of this machine."""
    model = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        model = lines[0].split(":", 1)[1].strip() if lines else model
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {os.cpu_count()} cores, {memory_gib:.0f} GiB, {platform.system()}"
