"""`smirk3d train`: train networks by a configuration file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg

from smirk3d.cli.console import print_message, print_result
from smirk3d.cli.options import Command

EXIT_INTERRUPTED = 130


@dataclass(frozen=True, kw_only=True)
class Train(Command):
    """Train an encoder and a neural renderer by a configuration file, in one stage or in several; configs/ has some.

    Ctrl-C ends the run after the current step, with a checkpoint. The run's folder contains networks.safetensors, which
    --weights of the other commands and the key init read. Several devices: engine.devices=N, or torchrun.
    """

    config: Annotated[Positional[str], arg(metavar="CONFIG")]
    """YAML file of the run, such as configs/recipes/open.yaml."""
    overrides: Annotated[Positional[tuple[str, ...]], arg(metavar="KEY=VALUE...")] = ()
    """Changes to it, such as data.root=my/photos, stage.steps=1000 or stages.core.steps=1000."""
    resume: bool = False
    """Continue from the newest checkpoint in out_dir."""

    def run(self) -> int:
        """Train; returns 130 when a signal ended the run early."""
        from smirk3d.train.config_file import load_config

        config = load_config(self.config, self.overrides, report=print_message)
        from smirk3d.train.loop import train
        from smirk3d.train.run_folder import WEIGHTS_NAME

        finished = train(config, resume=self.resume, report=print_message)
        if finished.rank > 0:  # only the first process prints
            return 0
        state = "stopped at" if finished.is_interrupted else "done:"
        print_result(f"{state} step {finished.step} of {config.total_steps}; weights: {config.out_dir / WEIGHTS_NAME}")
        return EXIT_INTERRUPTED if finished.is_interrupted else 0
