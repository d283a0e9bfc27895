"""`smirk3d reenact`: photos of a person with other expressions."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from smirk3d.assets import printable
from smirk3d.cli.console import print_result
from smirk3d.cli.options import Command
from smirk3d.errors import UsageError
from smirk3d.output_lock import locked_file

if TYPE_CHECKING:
    import numpy as np

    from smirk3d.estimation.reconstructor import Reconstructor
    from smirk3d.reenactment.reenactor import Reenactor

MIN_SIZE_PX = 64


@dataclass(frozen=True, kw_only=True)
class Reenact(Command):
    """Show a person of a photo with another expression: the photo's own pixels move with the fitted head."""

    source: Annotated[tuple[str, ...], arg(metavar="PHOTO...")]
    """Photo of the person, its largest face; further photos of the same person improve shape and colours."""
    out: Annotated[str, arg(metavar="FILE")]
    """Picture to write (.png, .jpg, .webp)."""
    expression: Annotated[str | None, arg(metavar="NAME=WEIGHT,...")] = None
    """ARKit names with weights from 0 to 1, names without a side for both sides, or words such as smile and blink."""
    sheet: bool = False
    """Make one picture of all 52 actions of the person."""
    absolute: bool = False
    """Actions that are not named are 0; by default they stay as in the photo."""
    compare: bool = False
    """Show the photo on the left of the result."""
    size: Annotated[int | None, arg(metavar="PIXELS")] = None
    """Long side of the result, of one picture of a sheet 256 by default; photos are reduced, never enlarged."""
    device: Annotated[str, arg(metavar="auto|cpu|cuda")] = "auto"
    """Device on which the head is fitted; auto: cuda where available."""

    def run(self) -> int:
        """Make the picture; return the exit code."""
        from smirk3d.reenactment.expression_text import parse_expression

        self._check()
        weights = None if self.expression is None else parse_expression(self.expression)
        out = Path(self.out)
        with locked_file(out):
            reenactor = self._reenactor()
            pixels = self._sheet(reenactor) if weights is None else self._still(reenactor, weights)
            from smirk3d.reenactment.pictures import save_picture

            save_picture(pixels, out)
        print_result(f"size: {pixels.shape[1]} x {pixels.shape[0]}; {out}")
        return 0

    def _check(self) -> None:
        from smirk3d.reenactment.pictures import PICTURE_SUFFIXES

        if (self.expression is not None) + self.sheet != 1:
            raise UsageError("name what to show, by one of --expression and --sheet")
        if Path(self.out).suffix.lower() not in PICTURE_SUFFIXES:
            raise UsageError(f"--out {printable(self.out)}: must end in {', '.join(PICTURE_SUFFIXES)}")
        if self.size is not None and self.size < MIN_SIZE_PX:
            raise UsageError(f"--size {self.size}: must be {MIN_SIZE_PX} pixels or more")
        if self.sheet and (self.compare or self.absolute):
            raise UsageError("--sheet: shows the photo, too; leave --compare and --absolute out")

    def _reconstructor(self) -> Reconstructor:
        from smirk3d.estimation.reconstructor import Reconstructor

        return Reconstructor(device=self.device)

    def _reenactor(self) -> Reenactor:
        from smirk3d.reenactment.reenactor import Reenactor

        with closing(self._reconstructor()) as reconstructor:
            size = None if self.sheet else self.size
            return Reenactor(list(self.source), reconstructor, max_side_px=size)

    def _still(self, reenactor: Reenactor, weights: dict[str, float]) -> np.ndarray:
        from smirk3d.reenactment.pictures import beside

        rest = {} if self.absolute else reenactor.source.face.arkit
        result = reenactor({**rest, **weights})
        return beside(reenactor.source.pixels, result) if self.compare else result

    def _sheet(self, reenactor: Reenactor) -> np.ndarray:
        from smirk3d.head.arkit import ARKIT_NAMES
        from smirk3d.progress import progress
        from smirk3d.reenactment.action_sheet import CELL_PX, action_sheet

        with progress(len(ARKIT_NAMES), unit="actions") as display:
            return action_sheet(reenactor, self.size or CELL_PX, display.advance)
