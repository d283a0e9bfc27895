"""Running a recipe from the command line: options by tyro, messages as plain lines on standard output."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import TypeVar

import tyro

Options = TypeVar("Options")


def run_recipe(options: type[Options], main: Callable[[Options], None]) -> None:
    """Read the options from the command line, show the log of smirk3d, and run a recipe.

    Args:
        options: Dataclass of the recipe's options.
        main: The recipe.
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
    for name in ("smirk3d", "__main__"):  # the recipe itself is __main__ where it is run by its name
        logging.getLogger(name).setLevel(logging.INFO)
    main(tyro.cli(options))
