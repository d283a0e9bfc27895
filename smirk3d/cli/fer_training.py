"""`smirk3d fer train`: the expression network and others of recognition."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from smirk3d.cli.console import print_message, print_result
from smirk3d.cli.options import Command
from smirk3d.errors import UsageError

if TYPE_CHECKING:
    from smirk3d.train.expression_vector.run import FerResult
    from smirk3d.train.occlusion_repair.run import OcclusionResult
    from smirk3d.train.vae.run import VaeResult

EXIT_INTERRUPTED = 130


@dataclass(frozen=True, kw_only=True)
class FerTrain(Command):
    """Train a network of recognition by a configuration file; configs/recipes/ has one for each.

    The file's key `kind` selects the network: expression_vector, occlusion, vae or clips. Ctrl-C ends the run after the
    current step, with a checkpoint; a training of clips takes minutes and has none. The run's folder contains
    expression.safetensors, occlusion.safetensors, vae.safetensors or clips.safetensors, which the other commands read.
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
            "occlusion": self._train_occlusion,
            "vae": self._train_vae,
            "clips": self._train_clips,
        }
        kind = recipe_kind(self.config, trainers, "expression_vector")
        if self.report and kind != "clips":
            raise UsageError("--report: is for clips; leave it out")
        return trainers[kind]()

    def _train_clips(self) -> int:
        from smirk3d.cli.fer_clips import train_clips

        return train_clips(self.config, self.overrides, self.report, self.resume)

    def _train_vector(self) -> int:
        from smirk3d.train.config_file import load_record
        from smirk3d.train.expression_vector.config import FerTrainConfig

        config = load_record(FerTrainConfig, self.config, self.overrides, report=print_message)
        from smirk3d.train.expression_vector.run import train_expression_network, weights_path

        return _conclude(
            train_expression_network(config, resume=self.resume, report=print_message),
            config.steps,
            weights_path(config),
        )

    def _train_occlusion(self) -> int:
        from smirk3d.train.config_file import load_record
        from smirk3d.train.occlusion_repair.config import OcclusionTrainConfig

        config = load_record(OcclusionTrainConfig, self.config, self.overrides, report=print_message)
        from smirk3d.train.occlusion_repair.run import train_occlusion_network, weights_path

        return _conclude(
            train_occlusion_network(config, resume=self.resume, report=print_message),
            config.steps,
            weights_path(config),
        )

    def _train_vae(self) -> int:
        from smirk3d.train.config_file import load_record
        from smirk3d.train.vae.config import VaeTrainConfig

        config = load_record(VaeTrainConfig, self.config, self.overrides, report=print_message)
        from smirk3d.train.vae.run import train_vae, weights_path

        return _conclude(
            train_vae(config, resume=self.resume, report=print_message), config.steps, weights_path(config)
        )


def _conclude(result: FerResult | OcclusionResult | VaeResult, steps: int, weights: Path) -> int:
    """Print how a run ended, and return the exit code."""
    if result.is_interrupted:
        print_result(f"stopped at step {result.step} of {steps}; go on with --resume")
        return EXIT_INTERRUPTED
    figures = ", ".join(f"{name} {value:.4g}" for name, value in result.measures.items())
    print_result(f"done: step {result.step} of {steps}; {figures}; weights: {weights}")
    return 0
