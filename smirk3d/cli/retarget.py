"""`smirk3d retarget`: expressions as ARKit weights, as coefficients of another head, or on a character."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from smirk3d.assets import printable
from smirk3d.cli.console import print_message, print_result
from smirk3d.cli.options import Command
from smirk3d.cli.paths import check_no_input
from smirk3d.cli.retarget_character import CharacterOptions, retarget_character
from smirk3d.errors import UsageError
from smirk3d.output_lock import locked_file

if TYPE_CHECKING:
    from smirk3d.export.tables.expression_file import Expressions
    from smirk3d.head.model import HeadModel
    from smirk3d.head.retargeting.retargeter import ArkitResult, Retargeter

ARKIT = "arkit"
RANGE_TOLERANCE = 0.01
"""Coefficients may exceed the range of their head by this much."""


@dataclass(frozen=True, kw_only=True)
class Retarget(Command):
    """Retarget expressions: coefficients of any head to ARKit weights, ARKit weights to any head or character."""

    input: Annotated[Positional[str], arg(metavar="FILE")]
    """A result, FLAME coefficients of another program, or a table, .json or Face Cap .txt of ARKit weights."""
    to: Annotated[str, arg(metavar="arkit|open|PATH")] = ARKIT
    """Target: ARKit weights, or coefficients of the open head or of a head file."""
    head: Annotated[str, arg(metavar="open|PATH")] = "open"
    """Head that the coefficients in FILE belong to."""
    out: Annotated[str | None, arg(metavar="FILE")] = None
    """Output: .csv or .npz for ARKit weights, .npz for coefficients, .glb for a character; beside FILE by default."""
    animation: CharacterOptions = field(default_factory=CharacterOptions)

    def run(self) -> int:
        """Retarget all frames; return the exit code."""
        from smirk3d.export.tables.expression_file import EXPRESSION_FORMATS, read_expressions

        self.animation.check()
        if self.animation.character is not None:
            if self.to != ARKIT:
                raise UsageError(f"--to {self.to}: a character takes ARKit weights; leave --to or --character out")
            return retarget_character(
                self.animation,
                self.input,
                self.out,
                lambda expressions: self._to_arkit(expressions).weights.numpy(),
            )
        out = Path(self.out) if self.out else self._default_out()
        allowed = EXPRESSION_FORMATS if self.to == ARKIT else (".npz",)
        if out.suffix.lower() not in allowed:
            raise UsageError(f"--out {printable(out)}: must end in {' or '.join(allowed)}")
        check_no_input(out, [self.input])
        expressions = read_expressions(self.input)
        for note in expressions.notes:
            print_message(f"{printable(self.input)}: {note}")
        with locked_file(out):
            if self.to == ARKIT:
                self._write_arkit(expressions, out)
            else:
                self._write_coefficients(expressions, out)
        return 0

    def _default_out(self) -> Path:
        source = Path(self.input)
        ending = "_arkit.csv" if self.to == ARKIT else f"_{Path(self.to).stem}.npz"
        return source.with_name(source.stem + ending)

    def _write_arkit(self, expressions: Expressions, out: Path) -> None:
        from smirk3d.export.tables.expression_file import write_arkit

        if "expression" not in expressions.arrays:
            raise UsageError(
                f"{printable(self.input)}: holds ARKit weights already, and no coefficients of a head; name a head "
                "with --to"
            )
        result = self._to_arkit(expressions)
        residual, size = result.residual_mm.numpy(), result.size_mm.numpy()
        arrays = {ARKIT: result.weights.numpy(), "residual_mm": residual, "size_mm": size}
        write_arkit(out, expressions.frames, arrays)
        print_result(
            f"frames: {len(expressions.frames)}; not expressed: {residual.mean():.2f} mm of {size.mean():.2f} mm; {out}"
        )

    def _write_coefficients(self, expressions: Expressions, out: Path) -> None:
        import numpy as np
        import torch

        from smirk3d.export.tables.expression_file import write_arrays
        from smirk3d.head.arkit import ARKIT_NAMES

        target = _load(self.to)
        known = expressions.arrays.get(ARKIT)
        weights = self._to_arkit(expressions).weights if known is None else torch.tensor(known)
        params = _retargeter(target).from_arkit(weights)
        arrays = {name: value.numpy() for name, value in params.items()}
        texts = {"head": target.data.name, "expression_names": target.expression_names, "arkit_names": ARKIT_NAMES}
        arrays |= {name: np.array(value) for name, value in texts.items()}
        write_arrays(out, arrays | {ARKIT: weights.numpy(), "frames": np.array(expressions.frames)})
        print_result(f"frames: {len(expressions.frames)}; {out}")

    def _to_arkit(self, expressions: Expressions) -> ArkitResult:
        import torch

        from smirk3d.params import FaceParams

        head = _load(self.head)
        if not _is_plausible_for(expressions, head):
            raise UsageError(
                f"{printable(self.input)}: its {_describe_coefficients(expressions)} are not of the head "
                f"{head.data.name!r}, which has {head.n_expression} and {head.n_shape}; name the file of the "
                "right head with --head"
            )
        names = {"expression", "shape", *_joint_parameters(head)}
        fields = {name: torch.tensor(values) for name, values in expressions.arrays.items() if name in names}
        return _retargeter(head).to_arkit(FaceParams(**fields))


def _load(head: str) -> HeadModel:
    from smirk3d.authoring.load import load_head

    return load_head(head, report=print_message)


def _retargeter(head: HeadModel) -> Retargeter:
    from smirk3d.head.retargeting.retargeter import Retargeter

    return Retargeter(head, _load("open"))


def _is_plausible_for(expressions: Expressions, head: HeadModel) -> bool:
    """Return whether coefficients may belong to a head, judged by its name, their number and their range."""
    expression, shape = expressions.arrays["expression"], expressions.arrays.get("shape")
    low, high = head.data.expression_low, head.data.expression_high
    # Coefficients with a range are named blendshapes, and a file has all of them.
    min_size = head.n_expression if low > float("-inf") else 1
    return (
        expressions.head in ("", head.data.name)
        and min_size <= expression.shape[1] <= head.n_expression
        and (shape is None or shape.shape[1] <= head.n_shape)
        and bool(low - RANGE_TOLERANCE <= expression.min() and expression.max() <= high + RANGE_TOLERANCE)
    )


def _describe_coefficients(expressions: Expressions) -> str:
    expression, shape = expressions.arrays["expression"], expressions.arrays.get("shape")
    origin = f", of a head {expressions.head!r}," if expressions.head else ""
    return (
        f"{expression.shape[1]} coefficients of expression ({expression.min():.3g} to {expression.max():.3g}) and "
        f"{0 if shape is None else shape.shape[1]} of shape{origin}"
    )


def _joint_parameters(head: HeadModel) -> set[str]:
    """Return which of jaw, eyelids and eyes are parameters of a head; on others they follow from the expression."""
    rotated_by_expression = bool(head.data.expression_rotvec.any())
    return {"jaw", "eyelids"} & set(head.spec.names) | (set() if rotated_by_expression else {"eyes"})
