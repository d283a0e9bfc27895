"""`smirk3d reenact`: photos of a person with other expressions."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import arg

from smirk3d.assets import printable
from smirk3d.cli.console import print_message, print_result
from smirk3d.cli.options import Command
from smirk3d.cli.paths import check_no_input
from smirk3d.errors import UsageError
from smirk3d.output_lock import locked_file

if TYPE_CHECKING:
    import numpy as np

    from smirk3d.estimation.reconstructor import Reconstructor
    from smirk3d.reenactment.driving import Driving
    from smirk3d.reenactment.motion_transfer import TransferredMotion
    from smirk3d.reenactment.reenactor import Reenactor

MIN_SIZE_PX = 64
VIDEO_SIDE_PX = 1280
"""Long side of videos where --size does not state one."""
VIDEO_SUFFIX = ".mp4"


@dataclass(frozen=True, kw_only=True)
class Reenact(Command):
    """Show a person of a photo with another expression: the photo's own pixels move with the fitted head."""

    source: Annotated[tuple[str, ...], arg(metavar="PHOTO...")]
    """Photo of the person, its largest face; further photos of the same person improve shape and colours, and show what
    it hides."""
    out: Annotated[str, arg(metavar="FILE")]
    """Picture to write (.png, .jpg, .webp), or video (.mp4)."""
    expression: Annotated[str | None, arg(metavar="NAME=WEIGHT,...")] = None
    """ARKit names with weights from 0 to 1, names without a side for both sides, or words such as smile and blink."""
    driving: Annotated[str | None, arg(metavar="FILE")] = None
    """What moves the person: a video, a table or clip (.npz) of weights, or a photo of somebody."""
    engine: Literal["mesh", "transformer"] = "mesh"
    """mesh: the photo's pixels move with the fitted head; transformer: a network shows the person."""
    sheet: bool = False
    """Make one picture of all 52 actions of the person."""
    relative: bool = False
    """Add the change since the driving's most neutral frame to the photo's own expression; the default for all but
    photos."""
    absolute: bool = False
    """Show the driving's own weights and head turns; with --expression, actions that are not named are 0."""
    compare: bool = False
    """Show what drives on the left of the result, or else the photo."""
    size: Annotated[int | None, arg(metavar="PIXELS")] = None
    """Long side of the result, of one picture of a sheet 256 by default; photos are reduced, never enlarged."""
    device: Annotated[str, arg(metavar="auto|cpu|cuda")] = "auto"
    """Device on which heads are fitted; auto: cuda where available."""

    def run(self) -> int:
        """Make the picture or the video; return 1 where some of the driving video could not be read."""
        from smirk3d.reenactment.expression_text import parse_expression

        self._check()
        weights = None if self.expression is None else parse_expression(self.expression)
        out = Path(self.out)
        with locked_file(out), closing(self._reconstructor()) as reconstructor:
            if self.driving is not None:
                return self._drive(reconstructor, self.driving, out)
            reenactor = self._reenactor(reconstructor)
            pixels = self._sheet(reenactor) if weights is None else self._still(reenactor, weights)
            self._save(pixels, out)
        return 0

    def _check(self) -> None:
        if [self.expression is not None, self.driving is not None, self.sheet].count(True) != 1:
            raise UsageError("name what to show, by one of --driving, --expression and --sheet")
        self._check_out()
        if self.size is not None and self.size < MIN_SIZE_PX:
            raise UsageError(f"--size {self.size}: must be {MIN_SIZE_PX} pixels or more")
        if self.sheet and (self.compare or self.absolute or self.relative):
            raise UsageError("--sheet: shows the photo, too; leave --compare, --absolute and --relative out")
        if self.relative and self.absolute:
            raise UsageError("--relative and --absolute: name one of them")
        if self.relative and self.driving is not None and self._is_photo_driven:
            raise UsageError("--relative: one photo has no neutral frame to compare with; leave it out, or use a video")

    def _check_out(self) -> None:
        from smirk3d.reenactment.driving import is_table
        from smirk3d.reenactment.pictures import PICTURE_SUFFIXES

        suffix, moves = Path(self.out).suffix.lower(), self.driving is not None and not self._is_photo_driven
        is_row = self.driving is not None and is_table(self.driving) and suffix in PICTURE_SUFFIXES
        allowed = (VIDEO_SUFFIX,) if moves and not is_row else PICTURE_SUFFIXES
        if suffix not in allowed:
            why = "" if self.driving is None else f" with --driving {printable(self.driving)}"
            raise UsageError(f"--out {printable(self.out)}: must end in {', '.join(allowed)}{why}")
        check_no_input(self.out, [*self.source, self.driving])

    @property
    def _is_photo_driven(self) -> bool:
        from smirk3d.reenactment.driving import is_photo

        return self.driving is not None and is_photo(self.driving)

    def _reconstructor(self) -> Reconstructor:
        from smirk3d.estimation.reconstructor import Reconstructor

        return Reconstructor(device=self.device)

    def _reenactor(self, reconstructor: Reconstructor) -> Reenactor:
        from smirk3d.reenactment.reenactor import Reenactor

        side = self.size
        if Path(self.out).suffix.lower() == VIDEO_SUFFIX:
            side = side or VIDEO_SIDE_PX
        side = None if self.sheet else side
        return Reenactor(list(self.source), reconstructor, engine=self.engine, max_side_px=side)

    def _save(self, pixels: np.ndarray, out: Path) -> None:
        from smirk3d.reenactment.pictures import save_picture

        save_picture(pixels, out)
        print_result(f"size: {pixels.shape[1]} x {pixels.shape[0]}; {out}")

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

    def _drive(self, reconstructor: Reconstructor, path: str, out: Path) -> int:
        from smirk3d.reenactment.motion_transfer import transfer_motion

        # The photo first: it is read in a second, and a mistake there is known before a long video is tracked.
        reenactor = self._reenactor(reconstructor)
        driving = self._driving(reconstructor, path, out)
        for text in (*driving.notes, *driving.losses):
            print_message(f"{driving.name}: {text}" if not text.startswith(driving.name) else text)
        relative = not self.absolute and not self._is_photo_driven and len(driving) > 1
        motion = transfer_motion(driving, reenactor.source.face, relative=relative)
        if limited := int(motion.limited.sum()):
            print_message(
                f"the head turns further than the photo allows in {limited} of {len(driving)} frames; limited"
            )
        if out.suffix.lower() != VIDEO_SUFFIX:
            self._save(self._driven_picture(reenactor, driving, motion), out)
            return 0
        missing = self._write_video(reenactor, driving, motion, out)
        print_result(f"frames: {len(driving)}; {out}")
        return 1 if driving.losses or missing else 0

    def _driving(self, reconstructor: Reconstructor, path: str, out: Path) -> Driving:
        from smirk3d.progress import frame_progress
        from smirk3d.reenactment.driving import is_table, photo_driving, table_driving, video_driving

        if self._is_photo_driven:
            return photo_driving(path, reconstructor)
        if is_table(path):
            driving = table_driving(path)
            if len(driving) > 1 and out.suffix.lower() != VIDEO_SUFFIX:
                raise UsageError(f"--out {printable(self.out)}: {driving.name} has {len(driving)} frames; name an .mp4")
            return driving
        with frame_progress(0) as display:
            return video_driving(path, reconstructor, display.advance)

    def _driven_picture(self, reenactor: Reenactor, driving: Driving, motion: TransferredMotion) -> np.ndarray:
        from smirk3d.reenactment.pictures import beside

        result = reenactor(motion.weights[0], motion.rotations[0])
        left = reenactor.source.pixels if driving.picture is None else driving.picture
        return beside(left, result) if self.compare else result

    def _write_video(self, reenactor: Reenactor, driving: Driving, motion: TransferredMotion, out: Path) -> list[str]:
        """Write the video, and return what is missing in it."""
        from smirk3d.progress import frame_progress
        from smirk3d.reenactment.driven_video import write_driven_video

        missing: list[str] = []
        with frame_progress(len(driving)) as display:

            def note(text: str) -> None:
                missing.append(text)
                display.note(f"smirk3d: {text}")

            write_driven_video(
                reenactor, driving, motion, out, compare=self.compare, advance=display.advance, note=note
            )
        return missing
