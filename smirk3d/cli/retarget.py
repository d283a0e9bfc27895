"""`smirk3d retarget`: expressions of one head as ARKit weights, or as those of another head."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from smirk3d.cli.console import say
from smirk3d.cli.options import Command
from smirk3d.errors import UsageError

if TYPE_CHECKING:
    from smirk3d.export.expressions import Expressions
    from smirk3d.head.model import HeadModel
    from smirk3d.head.retarget import ArkitResult

ARKIT = "arkit"


@dataclass(frozen=True, kw_only=True)
class Retarget(Command):
    """Carry expressions over: coefficients of any head to ARKit weights, or ARKit weights to any head."""

    input: Annotated[Positional[str], arg(metavar="FILE")]
    """A .npz of coefficients (that of reconstruct, or FLAME's from elsewhere), or a .csv of ARKit weights."""
    to: Annotated[str, arg(metavar="arkit|open|PATH")] = ARKIT
    """arkit, or the head whose coefficients are wanted: the open head, or a head file."""
    head: Annotated[str, arg(metavar="open|PATH")] = "open"
    """The head that the coefficients in FILE belong to."""
    out: Annotated[str | None, arg(metavar="FILE")] = None
    """ARKit weights go to .csv or .npz, coefficients to .npz; beside the input by default."""

    def run(self) -> int:
        """Carry all frames over."""
        from smirk3d.export.expressions import FORMATS, read_expressions
        from smirk3d.export.save import make_folder

        out = Path(self.out) if self.out else self._default_out()
        allowed = FORMATS if self.to == ARKIT else (".npz",)
        if out.suffix.lower() not in allowed:
            raise UsageError(f"--out {out}: must end in {' or '.join(allowed)}")
        given = read_expressions(self.input)
        make_folder(out.parent)
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
        from smirk3d.export.expressions import write_arkit

        if "expression" not in given.arrays:
            raise UsageError(f"{self.input}: has no coefficients of a head; it holds ARKit weights already")
        found = self._to_arkit(given)
        residual, size = found.residual_mm.numpy(), found.size_mm.numpy()
        arrays = {"arkit": found.weights.numpy(), "residual_mm": residual, "size_mm": size}
        write_arkit(out, given.frames, arrays)
        say(f"frames: {len(given.frames)}; not expressed: {residual.mean():.2f} mm of {size.mean():.2f} mm; {out}")

    def _write_coefficients(self, given: Expressions, out: Path) -> None:
        import numpy as np
        import torch

        from smirk3d.export.expressions import write_arrays
        from smirk3d.head.arkit import ARKIT_NAMES
        from smirk3d.head.load import load_head
        from smirk3d.head.retarget import Retargeter

        target = load_head(self.to)
        known = given.arrays.get(ARKIT)
        weights = self._to_arkit(given).weights if known is None else torch.tensor(known)
        params = Retargeter(target).from_arkit(weights)
        arrays = {name: value.numpy() for name, value in params.items()}
        texts = {"head": target.data.name, "expression_names": target.expression_names, "arkit_names": ARKIT_NAMES}
        arrays |= {name: np.array(value) for name, value in texts.items()}
        write_arrays(out, arrays | {"arkit": weights.numpy(), "frames": np.array(given.frames)})
        say(f"frames: {len(given.frames)}; {out}")

    def _to_arkit(self, given: Expressions) -> ArkitResult:
        import torch

        from smirk3d.head.load import load_head
        from smirk3d.head.retarget import Retargeter
        from smirk3d.types import FaceParams

        head = load_head(self.head)
        if given.head not in ("", head.data.name):
            raise UsageError(f"{self.input}: its coefficients are of a head {given.head!r}; name its file with --head")
        fields = {name: torch.tensor(values) for name, values in given.arrays.items() if name != ARKIT}
        for name, available in (("expression", head.n_expression), ("shape", head.n_shape)):
            if name in fields and fields[name].shape[1] > available:
                raise UsageError(
                    f"{self.input}: has {fields[name].shape[1]} {name} coefficients, the head {head.data.name!r} has "
                    f"{available}; name the right one with --head"
                )
        own = {"expression", "shape", *_own_joints(head)}
        return Retargeter(head).to_arkit(FaceParams(**{name: fields[name] for name in own & set(fields)}))


def _own_joints(head: HeadModel) -> set[str]:
    """Return which of jaw, eyelids and eyes are parameters of a head; on others they only repeat the expression."""
    turned_by_expression = bool(head.data.expression_rotvec.any())
    return {"jaw", "eyelids"} & set(head.spec.names) | (set() if turned_by_expression else {"eyes"})
