"""The suite of all figures that the documentation states."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from smirk3d.cli.fer_evaluate import FerEvaluate
from smirk3d.cli.main import main
from smirk3d.errors import Smirk3dError
from smirk3d.evaluation.options import CharacterOptions, ClipOptions, EvaluationOptions
from smirk3d.evaluation.registry import MEASURES
from smirk3d.evaluation.report import Report
from smirk3d.evaluation.result import Figure, Result, values_of
from smirk3d.evaluation.suite import (
    README_SUITE,
    SUITES,
    SuiteItem,
    command_of,
    options_of,
    run_suite,
    save_suite,
    suite_table,
)

INPUTS = EvaluationOptions(
    "packaged",
    data=Path("data"),
    head="model.pkl",
    photos=Path("photos"),
    character=CharacterOptions(Path("hero.glb"), ("left", "right")),
    count=100,
)
BY_NAME = {measure.name: measure for measure in MEASURES}


@pytest.mark.parametrize("item", README_SUITE, ids=lambda item: item.title)
def test_items_print_figures_that_their_measures_have(item: SuiteItem):
    measure = BY_NAME[item.measure]
    assert set(item.figures) <= {figure.name for figure in measure.figures}
    chosen = options_of(item, INPUTS)
    assert chosen.only == (item.measure,) and chosen.count <= 100
    assert chosen.head == ("model.pkl" if "head" in item.uses else "open")


@pytest.mark.parametrize("item", README_SUITE, ids=lambda item: item.title)
def test_commands_give_the_options_of_the_item(item: SuiteItem, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # the command checks that its inputs exist
    for path in (INPUTS.data, INPUTS.head, INPUTS.photos, INPUTS.character.path):
        Path(str(path)).touch()
    taken = []

    def evaluate(options, open_progress):
        taken.append(options)
        return Report({}, [], {})

    monkeypatch.setattr("smirk3d.evaluation.runner.evaluate", evaluate)
    unlimited = EvaluationOptions(
        "packaged", data=INPUTS.data, head=INPUTS.head, photos=INPUTS.photos, character=INPUTS.character
    )
    assert main(command_of(item, unlimited).split()[1:]) == 0
    assert taken == [options_of(item, unlimited)]


def test_the_run_goes_on_after_a_failure(monkeypatch, tmp_path):
    items = tuple(
        SuiteItem(title, "fit", "mirror", ("mean_difference",), {"seed": seed}) for seed, title in enumerate("abc")
    )
    monkeypatch.setitem(SUITES, "readme", (*items, SuiteItem("d", "fit", "character", (), {}, ("character",))))

    def run(options, open_progress):
        if options.seed == 1:
            raise Smirk3dError("broken file")
        values = values_of((Figure("mean_difference", better="lower"), Figure("other", "%")), {"mean_difference": 0.5})
        return Report({}, [Result("mirror", "fit", 3, values)], {})

    lines = list(run_suite("readme", EvaluationOptions("packaged", data=Path("data")), None, run))  # type: ignore[arg-type]
    assert [line.title for line in lines] == ["a", "b", "c", "d"]
    assert [line.is_failure for line in lines] == [False, True, False, False]
    assert lines[2].value is not None and lines[2].value.number == 0.5
    table = suite_table(lines).splitlines()
    command = command_of(items[0], EvaluationOptions("packaged", data=Path("data")))
    assert table[1].split() == ["a", "fit", "mean_difference", "0.5000", *command.split()]
    assert table[-2].startswith("b: not run: broken file (smirk3d evaluate fit --only mirror")
    assert table[-1].startswith("d: not run: needs another head; ")
    save_suite(lines, tmp_path / "suite.json")
    rows = json.loads((tmp_path / "suite.json").read_text())
    assert [row["value"] for row in rows] == [0.5, None, 0.5, None] and rows[1]["reason"] == "broken file"


def test_the_documentation_names_measures_that_exist():
    root = Path(__file__).parents[2]
    pages = [*root.glob("docs/*.md"), *root.glob("smirk3d/zoo/files/*.md"), root / "README.md"]
    named = [each for page in pages for each in _named_measures(page.read_text(encoding="utf-8"))]
    known = {"evaluate": set(BY_NAME), "fer evaluate": set(get_args(get_type_hints(FerEvaluate)["only"]))}
    for command, names in known.items():
        used = {name for of, name in named if of == command}
        assert used and used <= names, (command, used - names)


def _named_measures(text: str) -> Iterator[tuple[str, str]]:
    """Yield the command and the measure of each --only; the command is the last one that is named before."""
    command = "evaluate"
    for found in re.finditer(r"smirk3d ((?:fer )?evaluate)\b|`(fer evaluate)\b|--only ([a-z,_-]+)", text):
        command = found[1] or found[2] or command
        yield from ((command, name) for name in (found[3] or "").split(",") if name)


def test_clips_of_an_item_are_in_its_command():
    item = SuiteItem("a", "packaged", "video-accuracy", (), {"clips": ClipOptions(people=5), "method": "refine"})
    start = "smirk3d evaluate packaged --only video-accuracy"
    assert command_of(item, INPUTS) == f"{start} --count 100 --people 5 --method refine"
    assert command_of(item, EvaluationOptions("packaged")) == f"{start} --people 5 --method refine"
