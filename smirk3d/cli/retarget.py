"""`smirk3d retarget`: expressions of one head as ARKit weights, as those of another head, or on a character."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from smirk3d.cli.console import print_message, print_result
from smirk3d.cli.options import Command
from smirk3d.cli.retarget_character import CharacterFlags, retarget_character
from smirk3d.errors import UsageError

if TYPE_CHECKING:
    from smirk3d.export.tables.expression_file import Expressions
    from smirk3d.head.model import HeadModel
    from smirk3d.head.retargeting.retargeter import ArkitResult, Retargeter

ARKIT = "arkit"
SLACK = 0.01
"""How far a coefficient may be out of its head's range."""


@dataclass(frozen=True, kw_only=True)
class Retarget(Command):
    """Carry expressions over: coefficients of any head to ARKit weights, ARKit weights to any head or character."""

    input: Annotated[Positional[str], arg(metavar="FILE")]
    """A .npz of video or reconstruct, FLAME's coefficients from elsewhere, or a table of ARKit weights."""
    to: Annotated[str, arg(metavar="arkit|open|PATH")] = ARKIT
    """arkit, or the head whose coefficients are wanted: the open head, or a head file."""
    head: Annotated[str, arg(metavar="open|PATH")] = "open"
    """The head that the coefficients in FILE belong to."""
    out: Annotated[str | None, arg(metavar="FILE")] = None
    """ARKit weights go to .csv or .npz, coefficients to .npz, a character to .glb; beside the input by default."""
    hero: CharacterFlags = field(default_factory=CharacterFlags)

    def run(self) -> int:
        """Carry all frames over."""
        from smirk3d.export.tables.expression_file import FORMATS, read_expressions

        self.hero.check()
        if self.hero.character is not None:
            if self.to != ARKIT:
                raise UsageError(f"--to {self.to}: a character takes ARKit weights; leave --to or --character out")
            return retarget_character(
                self.hero, self.input, self.out, lambda given: self._to_arkit(given).weights.numpy()
            )
        out = Path(self.out) if self.out else self._default_out()
        allowed = FORMATS if self.to == ARKIT else (".npz",)
        if out.suffix.lower() not in allowed:
            raise UsageError(f"--out {out}: must end in {' or '.join(allowed)}")
        if out.resolve() == Path(self.input).resolve():
            raise UsageError(f"--out {out}: is the input itself; choose another name")
        given = read_expressions(self.input)
        if self.to == ARKIT:
            self._write_arkit(given, out)
        else:
            self._write_coefficients(given, out)
        return 0

    def _default_out(self) -> Path:
        source = Path(self.input)
        ending = "_arkit.csv" if self.to == ARKIT else f"_{Path(self.to).stem}.npz"
        return source.with_name(source.stem + ending)

    def _write_arkit(self, given: Expressions, out: Path) -> None:
        from smirk3d.export.save import make_folder
        from smirk3d.export.tables.expression_file import write_arkit

        if "expression" not in given.arrays:
            raise UsageError(
                f"{self.input}: holds ARKit weights already, and no coefficients of a head; name a head with --to"
            )
        found = self._to_arkit(given)
        residual, size = found.residual_mm.numpy(), found.size_mm.numpy()
        arrays = {ARKIT: found.weights.numpy(), "residual_mm": residual, "size_mm": size}
        make_folder(out.parent)
        write_arkit(out, given.frames, arrays)
        print_result(
            f"frames: {len(given.frames)}; not expressed: {residual.mean():.2f} mm of {size.mean():.2f} mm; {out}"
        )

    def _write_coefficients(self, given: Expressions, out: Path) -> None:
        import numpy as np
        import torch

        from smirk3d.export.save import make_folder
        from smirk3d.export.tables.expression_file import write_arrays
        from smirk3d.head.arkit import ARKIT_NAMES

        target = _load(self.to)
        known = given.arrays.get(ARKIT)
        weights = self._to_arkit(given).weights if known is None else torch.tensor(known)
        params = _retargeter(target).from_arkit(weights)
        arrays = {name: value.numpy() for name, value in params.items()}
        texts = {"head": target.data.name, "expression_names": target.expression_names, "arkit_names": ARKIT_NAMES}
        arrays |= {name: np.array(value) for name, value in texts.items()}
        make_folder(out.parent)
        write_arrays(out, arrays | {ARKIT: weights.numpy(), "frames": np.array(given.frames)})
        print_result(f"frames: {len(given.frames)}; {out}")

    def _to_arkit(self, given: Expressions) -> ArkitResult:
        import torch

        from smirk3d.params import FaceParams

        head = _load(self.head)
        if not _may_be_of(given, head):
            raise UsageError(
                f"{self.input}: its {_described(given)} are not of the head {head.data.name!r}, which has "
                f"{head.n_expression} and {head.n_shape}; name the file of the right head with --head"
            )
        own = {"expression", "shape", *_own_joints(head)}
        fields = {name: torch.tensor(values) for name, values in given.arrays.items() if name in own}
        return _retargeter(head).to_arkit(FaceParams(**fields))


def _load(head: str) -> HeadModel:
    from smirk3d.authoring.load import load_head

    return load_head(head, report=print_message)


def _retargeter(head: HeadModel) -> Retargeter:
    from smirk3d.head.retargeting.retargeter import Retargeter

    return Retargeter(head, _load("open"))


def _may_be_of(given: Expressions, head: HeadModel) -> bool:
    """Say whether coefficients may belong to a head, as far as name, number and range tell."""
    expression, shape = given.arrays["expression"], given.arrays.get("shape")
    low, high = head.data.expression_low, head.data.expression_high
    # Coefficients in a range are actions with names, of which no file leaves some out.
    fewest = head.n_expression if low > float("-inf") else 1
    return (
        given.head in ("", head.data.name)
        and fewest <= expression.shape[1] <= head.n_expression
        and (shape is None or shape.shape[1] <= head.n_shape)
        and bool(low - SLACK <= expression.min() and expression.max() <= high + SLACK)
    )


def _described(given: Expressions) -> str:
    expression, shape = given.arrays["expression"], given.arrays.get("shape")
    return (
        f"{expression.shape[1]} coefficients of expression ({expression.min():.3g} to {expression.max():.3g}) and "
        f"{0 if shape is None else shape.shape[1]} of shape{f', of a head {given.head!r},' if given.head else ''}"
    )


def _own_joints(head: HeadModel) -> set[str]:
    """Return which of jaw, eyelids and eyes are parameters of a head; on others they only repeat the expression."""
    turned_by_expression = bool(head.data.expression_rotvec.any())
    return {"jaw", "eyelids"} & set(head.spec.names) | (set() if turned_by_expression else {"eyes"})
