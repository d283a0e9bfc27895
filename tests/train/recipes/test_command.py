"""Command lines of the recipes: current and deprecated flags."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tyro

from smirk3d.train.recipes import assemble_encoder, expression_prior, landmark_bias
from smirk3d.train.recipes.assemble_encoder import AssembleOptions, AverageOptions
from smirk3d.train.recipes.branch_data import BranchOptions
from smirk3d.train.recipes.command import run_recipe

BRANCH = ["expression", "--photos", "p", "--targets", "t.npz", "--out", "o"]


def parse(options: Any, *words: str) -> Any:
    return tyro.cli(options, args=words)


def test_branch_options_have_their_defaults_and_old_flags() -> None:
    plain = parse(BranchOptions, *BRANCH)
    assert plain == BranchOptions("expression", Path("p"), Path("t.npz"), Path("o"))
    current = parse(BranchOptions, *BRANCH, "--consistency-weight", "1", "--no-whiten-sides", "--frozen-stages", "3")
    assert (current.consistency_weight, current.whiten_sides, current.frozen_stages) == (1, False, 3)
    old = ["--steady", "1", "--unlike", "5", "--held-stages", "2", "--painter", "r", "--guide", "2", "--judged", "9"]
    found = parse(BranchOptions, *BRANCH, *old, "--painted-weight", "0.5")
    assert (found.consistency_weight, found.randomized_renders, found.frozen_stages) == (1, 5, 2)
    assert (found.neural_renderer, found.landmark_weight, found.validation_count) == (Path("r"), 2, 9)
    assert found.repainted_weight == 0.5


def test_assembling_and_averaging_are_subcommands() -> None:
    options = parse(assemble_encoder.Options, "assemble", "out/branches", "--out", "e", "--unlike", "0.2")
    assert options == AssembleOptions(Path("out/branches"), Path("e"), domain_randomization=0.2)
    options = parse(assemble_encoder.Options, "average", "a", "b", "--shares", "0.4", "0.6", "--out", "c")
    assert options == AverageOptions((Path("a"), Path("b")), (0.4, 0.6), Path("c"))


def test_other_recipes_read_their_options() -> None:
    assert parse(expression_prior.Options).out.name == "expression_prior.safetensors"
    assert parse(landmark_bias.Options, "--photos", "p").passes == 2


def test_messages_of_a_recipe_go_to_standard_output(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    @dataclass(frozen=True)
    class Options:
        """Nothing."""

        steps: int = 1

    root, own = logging.getLogger(), logging.getLogger("smirk3d")
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(own, "level", own.level)
    monkeypatch.setattr(sys, "argv", ["recipe", "--steps", "3"])
    run_recipe(Options, lambda options: logging.getLogger("smirk3d.train").info("steps %d", options.steps))
    assert capsys.readouterr().out == "steps 3\n"
