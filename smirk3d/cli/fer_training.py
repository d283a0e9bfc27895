"""`smirk3d fer train`: the expression network and others of recognition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from smirk3d.cli.console import print_message, print_result
from smirk3d.cli.options import Command
from smirk3d.errors import UsageError

if TYPE_CHECKING:
    from smirk3d.train.small_network.run import TrainResult

EXIT_INTERRUPTED = 130


@dataclass(frozen=True, kw_only=True)
class FerTrain(Command):
    """Train a network of recognition by a configuration file; configs/recipes/ has one for each.

    The file's key `kind` selects the network: expression_vector, occlusion, vae or clips; emotion_adjustment changes an
    expression network so that rare emotions are found more often. Ctrl-C ends the run after the current step, with a
    checkpoint. The run's folder contains expression.safetensors, occlusion.safetensors, vae.safetensors or
    clips.safetensors, which the other commands read.
    """

    config: Annotated[Positional[str], arg(metavar="CONFIG")]
    """YAML file of the run, such as configs/recipes/fer_vector.yaml."""
    overrides: Annotated[Positional[tuple[str, ...]], arg(metavar="KEY=VALUE...")] = ()
    """Changes to it, such as data.ferplus=my/ferplus or steps=1000."""
    resume: bool = False
    """Continue from the newest checkpoint in out_dir."""
    report: bool = False
    """List the clips of the training by their labels: probably mislabelled, hard, clean; for the kind clips."""

    def run(self) -> int:
        """Train; returns 130 when a signal ended the run early."""
        from smirk3d.train.recipe_kind import recipe_kind

        trainers = {
            "expression_vector": self._train_vector,
            "emotion_adjustment": self._adjust_emotions,
            "occlusion": self._train_occlusion,
            "vae": self._train_vae,
            "clips": self._train_clips,
        }
        kind = recipe_kind(self.config, trainers, "expression_vector")
        if self.report and kind != "clips":
            raise UsageError("--report: is for clips; leave it out")
        return trainers[kind]()

    def _train_vector(self) -> int:
        from smirk3d.train.config_file import load_record
        from smirk3d.train.expression_vector.config import FerTrainConfig

        config = load_record(FerTrainConfig, self.config, self.overrides, report=print_message)
        from smirk3d.train.expression_vector.run import train_expression_network

        return conclude(train_expression_network(config, resume=self.resume, report=print_message))

    def _adjust_emotions(self) -> int:
        if self.resume:
            raise UsageError("--resume: an adjustment has no checkpoints; leave it out")
        from smirk3d.train.config_file import load_record
        from smirk3d.train.emotion_adjustment.config import AdjustmentConfig

        config = load_record(AdjustmentConfig, self.config, self.overrides, report=print_message)
        from smirk3d.train.emotion_adjustment.run import adjust_emotions

        return conclude(adjust_emotions(config, report=print_message))

    def _train_occlusion(self) -> int:
        from smirk3d.train.config_file import load_record
        from smirk3d.train.occlusion_repair.config import OcclusionTrainConfig

        config = load_record(OcclusionTrainConfig, self.config, self.overrides, report=print_message)
        from smirk3d.train.occlusion_repair.run import train_occlusion_network

        return conclude(train_occlusion_network(config, resume=self.resume, report=print_message))

    def _train_vae(self) -> int:
        from smirk3d.train.config_file import load_record
        from smirk3d.train.vae.config import VaeTrainConfig

        config = load_record(VaeTrainConfig, self.config, self.overrides, report=print_message)
        from smirk3d.train.vae.run import train_vae

        return conclude(train_vae(config, resume=self.resume, report=print_message))

    def _train_clips(self) -> int:
        from smirk3d.train.clip_emotion.config import ClipTrainConfig
        from smirk3d.train.config_file import load_record

        config = load_record(ClipTrainConfig, self.config, self.overrides, report=print_message)
        from smirk3d.train.clip_emotion.label_report import write_label_report
        from smirk3d.train.clip_emotion.run import train_clip_network

        result, reviewed = train_clip_network(config, resume=self.resume, report=print_message)
        if self.report and not result.is_interrupted:
            files = write_label_report(reviewed, config.out_dir)
            print_result(f"labels: {', '.join(map(str, files))}")
        return conclude(result)


def conclude(result: TrainResult) -> int:
    """Print how a run ended, and return the exit code."""
    if result.is_interrupted:
        print_result(f"stopped at step {result.step} of {result.steps}; go on with --resume")
        return EXIT_INTERRUPTED
    figures = ", ".join(f"{name} {value:.4g}" for name, value in result.measures.items())
    print_result(f"done: step {result.step} of {result.steps}; {figures}; weights: {result.weights}")
    return 0
