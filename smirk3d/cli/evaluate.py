"""`smirk3d evaluate`: measures of a checkpoint, of the landmark fit, or of the detector's scores."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from smirk3d.cli.console import print_message, print_result
from smirk3d.cli.deprecated import current_value, current_values
from smirk3d.cli.options import Command, FocalFlag, check_focal
from smirk3d.cli.paths import check_exists
from smirk3d.errors import UsageError

if TYPE_CHECKING:
    from smirk3d.evaluation.options import EvaluationOptions
    from smirk3d.evaluation.report import Report

MAX_FAULTS = 5
RENAMED_CHECKPOINTS = {"shipped": "packaged"}
RENAMED_MEASURES = {"truth": "synthetic"}


@dataclass(frozen=True, kw_only=True)
class Evaluate(Command):
    """Measure networks, the landmark fit or the detector's scores, on photos, rendered heads and clips.

    --list describes the measures, --suite readme takes all that the documentation states.
    """

    checkpoint: Annotated[Positional[str], arg(metavar="CHECKPOINT")] = ""
    """File of networks; packaged: those of this installation; fit: the landmark fit; detector: its own scores."""
    data: Annotated[str | None, arg(metavar="DIR")] = None
    """Folder of shards, as smirk3d data prepare makes them."""
    split: str = "val"
    """Its test split."""
    only: Annotated[str, arg(metavar="A,B")] = ""
    """Names of measures, with commas between; all default ones that apply where there are no names."""
    suite: Annotated[str | None, arg(metavar="NAME")] = None
    """Run a suite of evaluations instead; readme: every figure of the documentation. Takes no CHECKPOINT."""
    list: bool = False
    """Describe all measures: what they need and print, and their commands."""
    count: Annotated[int, arg(metavar="N")] = 2000
    """Most faces of a measure, and of each emotion of the probes; the slow measures stop at 100 to 500."""
    method: Literal["encoder", "refine"] = "encoder"
    """encoder: the networks alone; refine: with the landmarks, as reconstruct does by default."""
    out: Annotated[str | None, arg(metavar="FILE.json|.csv")] = None
    """Write all figures as JSON or CSV."""
    actions: bool = False
    """Show every action, not the worst ones alone."""
    head: Annotated[str, arg(metavar="open|PATH")] = "open"
    """Head model that the networks were trained for: the open head, a FLAME file or a head pack."""
    device: Annotated[str, arg(metavar="auto|cpu|cuda")] = "auto"
    """Where the computation runs."""
    focal: FocalFlag = "auto"
    """Camera of fit and refine, as for reconstruct."""
    no_scores: bool = False
    """Fit landmarks alone, without the detector's blendshape scores."""
    photos: Annotated[str | None, arg(metavar="DIR|.tar")] = None
    """Photos without annotations, for mirror and video-stability."""
    character: Annotated[str | None, arg(metavar="HEAD.glb")] = None
    """Another artist's head with ARKit's morph targets, for character."""
    eyes: Annotated[tuple[str, ...], arg(metavar="LEFT RIGHT")] = ()
    """Nodes of its two eyeballs; without them gaze is left out."""
    people: Annotated[int, arg(metavar="N")] = 1
    """Clips of video-accuracy; photos of video-stability at most, beside the sample photo."""
    seconds: float = 10.0
    """Length of these clips."""
    smooth: float = 1.0
    """Strength of the smoother on these clips, as for video."""
    repeats: Annotated[int, arg(metavar="N")] = 4
    """How often probe-comparison draws its folds anew."""
    all_splits: bool = False
    """Let faces of the training split count in probe-comparison, too."""
    keep: Annotated[str | None, arg(metavar="DIR")] = None
    """Keep the pictures and clips that measures make, with all files of smirk3d video."""
    renderer_steps: Annotated[int, arg(metavar="N")] = 200
    """Steps in which the neural renderer of the measure reconstruction is trained from scratch."""
    renderer_width: Annotated[int, arg(metavar="N")] = 8
    """Its width; that of the released one is 32."""
    seed: int = 7
    """Of everything random; networks must not have been trained on rendered heads of the same seed."""

    def run(self) -> int:
        """Measure and print; 1 when some faces could not be read, or a measure or a part of a suite failed."""
        from smirk3d.evaluation.registry import measure_list

        if self.list:
            print_result(measure_list())
            return 0
        if self.out is not None and not Path(self.out).parent.is_dir():
            raise UsageError(f"--out {self.out}: its folder does not exist; create it first")
        for flag, path in (("--data", self.data), ("--photos", self.photos), ("--character", self.character)):
            check_exists(flag, path)
        if self.suite is not None:
            return self._run_suite(self.suite)
        if not self.checkpoint:
            raise UsageError("name a CHECKPOINT (a file, packaged, fit or detector), --suite readme, or --list")
        return self._run_measures()

    def _run_measures(self) -> int:
        from smirk3d.evaluation.runner import evaluate
        from smirk3d.progress import progress

        report = evaluate(self._options(self.checkpoint), progress)
        print_result(report.table(every_action=self.actions))
        if self.out is not None:
            report.save(self.out)
        _print_faults(report)
        return 1 if report.faults or report.failures else 0

    def _run_suite(self, name: str) -> int:
        from smirk3d.evaluation.suite import run_suite, save_suite, suite_table
        from smirk3d.progress import progress

        if self.checkpoint or self.only:
            raise UsageError("--suite takes no CHECKPOINT and no --only; it knows which methods it compares")
        lines = list(run_suite(name, self._options("packaged"), progress))
        print_result(suite_table(lines))
        if self.out is not None:
            save_suite(lines, self.out)
        return 1 if any(line.is_failure for line in lines) else 0

    def _options(self, checkpoint: str) -> EvaluationOptions:
        from smirk3d.evaluation.options import (
            CharacterOptions,
            ClipOptions,
            EvaluationOptions,
            ProbeOptions,
            RendererTraining,
        )

        if min(self.renderer_steps, self.renderer_width) < 1:
            raise UsageError("--renderer-steps and --renderer-width must be 1 or more")
        check_focal(self.focal)
        names = tuple(name.strip() for name in self.only.split(",") if name.strip())
        return EvaluationOptions(
            checkpoint=current_value("CHECKPOINT", checkpoint, RENAMED_CHECKPOINTS),
            data=_path(self.data),
            split=self.split,
            only=current_values("--only", names, RENAMED_MEASURES),
            count=self.count,
            method=self.method,
            device=self.device,
            head=self.head,
            focal=self.focal,
            use_scores=not self.no_scores,
            seed=self.seed,
            renderer=RendererTraining(width=self.renderer_width, steps=self.renderer_steps),
            photos=_path(self.photos),
            character=None if self.character is None else CharacterOptions(Path(self.character), self.eyes),
            clips=ClipOptions(self.people, self.seconds, self.smooth),
            probe=ProbeOptions(self.repeats, self.all_splits),
            keep=_path(self.keep),
        )


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def _print_faults(report: Report) -> None:
    for fault in report.faults[:MAX_FAULTS]:
        print_message(fault)
    if len(report.faults) > MAX_FAULTS:
        print_message(f"and {len(report.faults) - MAX_FAULTS} more")
