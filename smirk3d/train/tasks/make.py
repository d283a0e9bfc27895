"""The task of each kind of stage."""

from __future__ import annotations

from smirk3d.train.config import StageConfig
from smirk3d.train.stages import FinishStage, RegressionStage
from smirk3d.train.tasks.finish import FinishTask
from smirk3d.train.tasks.neural_renderer import RendererTask
from smirk3d.train.tasks.regression import RegressionTask
from smirk3d.train.tasks.synthesis import SynthesisTask
from smirk3d.train.tasks.task import Task, Workbench


def make_task(bench: Workbench) -> Task:
    """Return the task of `bench.config.stage`.

    Raises:
        Smirk3dError: Its data or files cannot be used.
    """
    stage = bench.config.stage
    if isinstance(stage, StageConfig):
        return SynthesisTask(bench)
    if isinstance(stage, RegressionStage):
        return RegressionTask(bench)
    return FinishTask(bench) if isinstance(stage, FinishStage) else RendererTask(bench)
