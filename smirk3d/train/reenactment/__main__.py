"""`python -m smirk3d.train.reenactment CONFIG`: train the transformer engine of reenactment."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg

from smirk3d.errors import Smirk3dError
from smirk3d.train.config_file import load_record
from smirk3d.train.recipes.command import run_recipe
from smirk3d.train.reenactment.config import ReenactmentTrainConfig
from smirk3d.train.reenactment.run import train_transformer

EXIT_INTERRUPTED = 130
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Train the transformer engine of reenactment by a configuration file; Ctrl-C ends the run with a checkpoint."""

    config: Annotated[Positional[str], arg(metavar="CONFIG")]
    """YAML file of the run, such as configs/recipes/fsrt.yaml."""
    overrides: Annotated[Positional[tuple[str, ...]], arg(metavar="KEY=VALUE...")] = ()
    """Changes to it, such as steps=1000."""
    resume: bool = False
    """Continue from the newest checkpoint in out_dir."""


def main(options: Options) -> None:
    """Train, and print how the run ended."""
    try:
        config = load_record(ReenactmentTrainConfig, options.config, options.overrides, report=_log.info)
        result = train_transformer(config, resume=options.resume, report=_log.info)
    except Smirk3dError as error:
        sys.exit(f"error: {error}")
    if result.is_interrupted:
        _log.info("stopped at step %d of %d; go on with --resume", result.step, result.steps)
        sys.exit(EXIT_INTERRUPTED)
    figures = ", ".join(f"{name} {value:.4g}" for name, value in result.measures.items())
    _log.info("done: %s; weights: %s", figures, result.weights)


if __name__ == "__main__":
    run_recipe(Options, main)
