"""`smirk3d fer vae`: faces reconstructed, sampled, interpolated and edited by the face autoencoder."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg, subcommand

from smirk3d.assets import check_writable, printable
from smirk3d.cli.console import print_result
from smirk3d.cli.options import Command
from smirk3d.cli.paths import check_no_input
from smirk3d.errors import UsageError
from smirk3d.output_lock import locked_file

if TYPE_CHECKING:
    import numpy as np

    from smirk3d.fer.vae.expression_vae import ExpressionVAE

MAX_SHEET_FACES = 96
"""Most faces on a sheet."""
MAX_STEPS, MAX_SAMPLES = 64, 1024
_AMOUNT = re.compile(r"([^=]+)=([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)")


@dataclass(frozen=True, kw_only=True)
class _VaeCommand(Command):
    """A subcommand of `fer vae`."""

    out: Annotated[str, arg(metavar="FILE")]
    """File to write."""
    weights: Annotated[str | None, arg(metavar="FILE")] = None
    """File of smirk3d fer train, of a recipe of kind vae; by default the packaged network."""

    def _check_picture(self, *inputs: str) -> Path:
        from smirk3d.reenactment.pictures import PICTURE_SUFFIXES

        out = Path(self.out)
        if out.suffix.lower() not in PICTURE_SUFFIXES:
            raise UsageError(f"--out {printable(self.out)}: must end in {', '.join(PICTURE_SUFFIXES)}")
        check_no_input(out, inputs)
        return out

    def _save(self, pixels: np.ndarray, out: Path) -> None:
        from smirk3d.reenactment.pictures import save_picture

        with locked_file(out):
            check_writable(out)
            save_picture(pixels, out)
        print_result(f"size: {pixels.shape[1]} x {pixels.shape[0]}; {printable(out)}")


@dataclass(frozen=True, kw_only=True)
class VaeReconstruct(_VaeCommand):
    """Show faces beside what the autoencoder keeps of them."""

    inputs: Annotated[Positional[tuple[str, ...]], arg(metavar="INPUT...")] = ()
    """Image files, folders (with all their subfolders) and glob patterns."""
    crops: bool = False
    """The images are face crops; no face is searched for."""
    codes: Annotated[str | None, arg(metavar="FILE.npz|.parquet|.csv")] = None
    """Also write the codes, 128 numbers a face, as smirk3d fer probe reads them."""

    def run(self) -> int:
        """Write the sheet; return 1 where some images failed."""
        out = self._check_picture(*self.inputs)
        from smirk3d.export.tables.features import FEATURE_FORMATS, FeatureRow, write_features
        from smirk3d.fer.vae.sheets import psnr_db, reconstruction_sheet

        if self.codes is not None and Path(self.codes).suffix.lower() not in FEATURE_FORMATS:
            raise UsageError(f"--codes {printable(self.codes)}: must end in one of {' '.join(FEATURE_FORMATS)}")
        faces = _Faces(self.inputs, self.weights, self.crops)
        rows, shown, quality = [], [], []
        for path, vae, window in faces:
            code = vae.encode(window[None])
            decoded = vae.decode(code)[0]
            rows.append(FeatureRow(path, tuple(f"latent_{k:03d}" for k in range(code.shape[1])), code[0]))
            quality.append(psnr_db(window, decoded))
            if len(shown) < MAX_SHEET_FACES:
                shown.append((Path(path).name, window, decoded))
        if not shown:
            return 1
        self._save(reconstruction_sheet(shown), out)
        if self.codes is not None:
            with locked_file(Path(self.codes)):
                write_features(iter(rows), Path(self.codes))
            print_result(f"codes: {printable(self.codes)}")
        print_result(f"faces: {len(rows)}, {faces.failed} images failed; PSNR {sum(quality) / len(quality):.1f} dB")
        return 1 if faces.failed else 0


class _Faces:
    """The largest faces of images, with failures shown and counted.

    Args:
        inputs: As on the command line.
        weights: File of the network.
        crops: The images are face crops.

    Attributes:
        failed: Number of images without a face so far.
    """

    def __init__(self, inputs: tuple[str, ...], weights: str | None, crops: bool) -> None:
        from smirk3d.batch.runner import plan_jobs

        self._jobs, self._weights, self._crops = plan_jobs(inputs), weights, crops
        self.failed = 0

    def __iter__(self) -> Iterator[tuple[str, ExpressionVAE, np.ndarray]]:
        """Yield the name in tables, the autoencoder, and the window (64, 64, 3) of each face."""
        from smirk3d.batch.prefetch import failure_reason
        from smirk3d.detection.detector import Detector
        from smirk3d.export.tables.expressions_csv import table_name
        from smirk3d.fer.vae.expression_vae import ExpressionVAE
        from smirk3d.progress import failure_line, progress

        with (
            nullcontext() if self._crops else closing(Detector()) as detector,
            progress(len(self._jobs)) as display,
        ):
            vae = ExpressionVAE(self._weights, crops=self._crops, detector=detector)
            for job in self._jobs:
                try:
                    window = vae.window(job.path).pixels
                except Exception as error:  # one photo never stops the run
                    self.failed += 1
                    display.note(failure_line(job.path, failure_reason(error)))
                else:
                    yield table_name(job.path), vae, window
                display.advance()


@dataclass(frozen=True, kw_only=True)
class VaeSample(_VaeCommand):
    """Draw faces of nobody from random codes."""

    count: Annotated[int, arg(metavar="N")] = 24
    """Number of faces."""
    seed: int = 0
    """Of the random numbers."""
    temperature: float = 0.8
    """Factor of the standard deviation of the codes; below 1 faces are more alike and cleaner."""

    def run(self) -> int:
        """Write the sheet."""
        out = self._check_picture()
        if not 1 <= self.count <= MAX_SAMPLES:
            raise UsageError(f"--count {self.count}: must be 1 to {MAX_SAMPLES}")
        if not 0 <= self.temperature <= 2:
            raise UsageError(f"--temperature {self.temperature}: must be 0 to 2")
        from smirk3d.fer.vae.expression_vae import ExpressionVAE
        from smirk3d.fer.vae.sheets import grid

        vae = ExpressionVAE(self.weights)
        self._save(grid(vae.decode(vae.sample(self.count, seed=self.seed, temperature=self.temperature))), out)
        return 0


@dataclass(frozen=True, kw_only=True)
class VaeInterpolate(_VaeCommand):
    """Show the way between the faces of two photos: codes along a straight line."""

    photos: Annotated[Positional[tuple[str, str]], arg(metavar="PHOTO PHOTO")]
    """The two photos."""
    steps: Annotated[int, arg(metavar="N")] = 9
    """Number of pictures, both ends included."""
    crops: bool = False
    """The photos are face crops; no face is searched for."""

    def run(self) -> int:
        """Write the row of pictures."""
        out = self._check_picture(*self.photos)
        if not 2 <= self.steps <= MAX_STEPS:
            raise UsageError(f"--steps {self.steps}: must be 2 to {MAX_STEPS}")
        import numpy as np

        from smirk3d.fer.vae.expression_vae import ExpressionVAE
        from smirk3d.fer.vae.sheets import grid

        vae = ExpressionVAE(self.weights, crops=self.crops)
        windows = np.stack([vae.window(photo).pixels for photo in self.photos])
        start, end = vae.encode(windows)
        share = np.linspace(0, 1, self.steps)[:, None]
        between = vae.decode((1 - share) * start + share * end)
        self._save(grid(np.concatenate([windows[:1], between, windows[1:]]), columns=self.steps + 2), out)
        return 0


@dataclass(frozen=True, kw_only=True)
class VaeEdit(_VaeCommand):
    """Change the expression of the largest face of a photo along attribute vectors, such as smile=+1."""

    photo: Annotated[Positional[str], arg(metavar="PHOTO")]
    """The photo."""
    amounts: Annotated[Positional[tuple[str, ...]], arg(metavar="NAME=AMOUNT...")]
    """Attributes and amounts: one unit is about the whole range of the attribute, negative is the opposite."""
    attributes: Annotated[str | None, arg(metavar="FILE.npz")] = None
    """Further attribute vectors, of smirk3d fer vae attributes."""
    paste: Literal["change", "face", "none"] = "change"
    """change: the photo's own pixels, moved; face: the decoded face in the photo; none: the decoded window alone."""
    compare: bool = False
    """Show the photo on the left of the result."""
    crops: bool = False
    """The photo is a face crop; no face is searched for."""

    def run(self) -> int:
        """Write the changed photo."""
        out, amounts = self._check_picture(self.photo), parse_amounts(self.amounts)
        from smirk3d.fer.vae.directions_file import load_directions
        from smirk3d.fer.vae.expression_vae import ExpressionVAE
        from smirk3d.reenactment.pictures import beside

        directions = None if self.attributes is None else load_directions(Path(self.attributes))
        vae = ExpressionVAE(self.weights, crops=self.crops, directions=directions)
        edit = vae.edit(self.photo, amounts, paste="change" if self.paste == "none" else self.paste)
        before, after = (edit.window, edit.edited) if self.paste == "none" else (edit.original, edit.photo)
        self._save(beside(before, after) if self.compare else after, out)
        return 0


@dataclass(frozen=True, kw_only=True)
class VaeAttributes(_VaeCommand):
    """Learn attribute vectors from photos and a table of their attributes, for --attributes of fer vae edit."""

    inputs: Annotated[Positional[tuple[str, ...]], arg(metavar="INPUT...")] = ()
    """Image files, folders (with all their subfolders) and glob patterns."""
    table: Annotated[str, arg(metavar="TABLE.csv")]
    """Table with a column key, image or path and columns of numbers, 0 and 1 for no and yes."""
    crops: bool = False
    """The images are face crops; no face is searched for."""

    def run(self) -> int:
        """Write the vectors; return 1 where some images failed."""
        out = Path(self.out)
        if out.suffix.lower() != ".npz":
            raise UsageError(f"--out {printable(self.out)}: must end in .npz")
        from smirk3d.fer.vae.directions_file import learned_directions, read_attributes, save_directions

        names, values = read_attributes(Path(self.table))
        faces = _Faces(self.inputs, self.weights, self.crops)
        codes = {path: vae.encode(window[None])[0] for path, vae, window in faces}
        directions, count = learned_directions(codes, names, values, Path(self.table))
        with locked_file(out):
            check_writable(out)
            save_directions(out, directions)
        print_result(f"attributes: {', '.join(map(printable, names))}; faces: {count}; {printable(out)}")
        return 1 if faces.failed else 0


def parse_amounts(texts: tuple[str, ...]) -> dict[str, float]:
    """Return amounts by attribute of texts such as smile=+2.

    Raises:
        UsageError: There are none, or one is no name and number.
    """
    if not texts:
        raise UsageError("name what to change, such as smile=+1")
    amounts = {}
    for text in texts:
        found = _AMOUNT.fullmatch(text)
        try:
            name, amount = (found[1], float(found[2])) if found else ("", 0.0)
        except ValueError:
            name = ""
        if not name or name in amounts:
            raise UsageError(f"{printable(text)}: write NAME=AMOUNT, each name once, such as smile=+1")
        amounts[name] = amount
    return amounts


VAE_COMMANDS = Annotated[
    Annotated[VaeReconstruct, subcommand("reconstruct")]
    | Annotated[VaeSample, subcommand("sample")]
    | Annotated[VaeInterpolate, subcommand("interpolate")]
    | Annotated[VaeEdit, subcommand("edit")]
    | Annotated[VaeAttributes, subcommand("attributes")],
    subcommand("vae", description="Reconstruct, sample, interpolate and edit faces with the face autoencoder."),
]
