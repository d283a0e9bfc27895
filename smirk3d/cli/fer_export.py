"""`smirk3d fer export`: the expression network as ONNX."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from smirk3d.assets import check_writable
from smirk3d.cli.console import print_result
from smirk3d.cli.options import Command
from smirk3d.errors import UsageError
from smirk3d.output_lock import locked_file


@dataclass(frozen=True, kw_only=True)
class FerExport(Command):
    """Write an expression network as ONNX, and check that it computes the same as in torch."""

    weights: Annotated[Positional[str], arg(metavar="WEIGHTS")] = "packaged"
    """File of smirk3d fer train; packaged: that of this installation."""
    out: Annotated[str, arg(metavar="FILE.onnx")]
    """File to write."""

    def run(self) -> int:
        """Write the file."""
        path = Path(self.out)
        if path.suffix.lower() != ".onnx":
            raise UsageError(f"--out {self.out}: must end in .onnx")
        from smirk3d.fer.onnx_export import export_expression_network

        weights = None if self.weights == "packaged" else self.weights
        with locked_file(path):
            check_writable(path)
            difference = export_expression_network(weights, path)
        print_result(f"{path}: {path.stat().st_size / 1e6:.1f} MB; largest difference from torch {difference:.1e}")
        return 0
