"""Runs of the command line in a test, and what they answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from smirk3d.cli.main import main


@dataclass(frozen=True)
class Outcome:
    """What a run has answered: exit code, lines on standard output and on standard error."""

    code: int
    out: list[str]
    err: list[str]


def runner(command: str, capsys: pytest.CaptureFixture) -> Callable[..., Outcome]:
    """Return a function that runs a subcommand with some words."""

    def run(*words: object) -> Outcome:
        code = main([command, *map(str, words)])
        captured = capsys.readouterr()
        return Outcome(code, captured.out.splitlines(), captured.err.splitlines())

    return run
