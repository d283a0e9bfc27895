"""`smirk3d evaluate`: a checkpoint in, a table of how good it is out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from smirk3d.cli.console import print_message, print_result
from smirk3d.cli.options import Command
from smirk3d.errors import UsageError

if TYPE_CHECKING:
    from smirk3d.evaluation.runner import EvaluationOptions

_FAULTS_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Evaluate(Command):
    """Measure networks, or the landmark fit, on photos with known landmarks and on rendered heads.

    Measures: landmarks, mirror, jitter, probe, truth, reconstruction, cycle. All but truth need --data.
    """

    checkpoint: Annotated[Positional[str], arg(metavar="CHECKPOINT")]
    """File of networks; shipped: those of this installation; fit: the landmark fit, a baseline."""
    data: Annotated[str | None, arg(metavar="DIR")] = None
    """Folder of shards, as smirk3d data prepare makes them."""
    split: str = "val"
    """Which of its splits to judge by."""
    only: Annotated[str, arg(metavar="A,B")] = ""
    """Names of measures, with commas between; all that apply by default."""
    count: Annotated[int, arg(metavar="N")] = 2000
    """Most faces of a measure, and of each emotion of the probe; the slow measures stop at 100 or 300."""
    method: Literal["encoder", "refine"] = "encoder"
    """encoder: the networks alone; refine: with the landmarks, as reconstruct does by default."""
    out: Annotated[str | None, arg(metavar="FILE.json")] = None
    """Write all figures as JSON."""
    actions: bool = False
    """Show every action, not the worst ones alone."""
    head: Annotated[str, arg(metavar="open|PATH")] = "open"
    """Head model that the networks were trained for: the open head, a FLAME file or a head pack."""
    device: Annotated[str, arg(metavar="auto|cpu|cuda")] = "auto"
    """Where the computation runs."""
    renderer_steps: Annotated[int, arg(metavar="N")] = 200
    """Steps in which the neural renderer of the measure reconstruction is trained, from nothing."""
    renderer_width: Annotated[int, arg(metavar="N")] = 8
    """Its width; that of the released one is 32."""
    seed: int = 7
    """Of everything random; networks must not have been trained on rendered heads of the same seed."""

    def run(self) -> int:
        """Measure and print; 1 when some faces could not be read."""
        from smirk3d.evaluation.runner import evaluate
        from smirk3d.progress import progress

        if self.out is not None and not Path(self.out).parent.is_dir():
            raise UsageError(f"--out {self.out}: its folder does not exist; create it first")
        report = evaluate(self._options(), progress)
        print_result(report.table(every_action=self.actions))
        if self.out is not None:
            report.save(self.out)
        for fault in report.faults[:_FAULTS_SHOWN]:
            print_message(fault)
        if len(report.faults) > _FAULTS_SHOWN:
            print_message(f"and {len(report.faults) - _FAULTS_SHOWN} more")
        return 1 if report.faults else 0

    def _options(self) -> EvaluationOptions:
        from smirk3d.evaluation.neural_renderer_probe import RendererTraining
        from smirk3d.evaluation.runner import EvaluationOptions

        if min(self.renderer_steps, self.renderer_width) < 1:
            raise UsageError("--renderer-steps and --renderer-width must be 1 or more")
        return EvaluationOptions(
            checkpoint=self.checkpoint,
            data=None if self.data is None else Path(self.data),
            split=self.split,
            only=tuple(name.strip() for name in self.only.split(",") if name.strip()),
            count=self.count,
            method=self.method,
            device=self.device,
            head=self.head,
            renderer=RendererTraining(width=self.renderer_width, steps=self.renderer_steps),
            seed=self.seed,
        )
