"""The model card of an expression network states what was measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut

from smirk3d.cli.main import main
from smirk3d.errors import Smirk3dError
from smirk3d.evaluation.consenting_people import Person, group_rows, recognized_people
from smirk3d.evaluation.recognition import Predicted
from smirk3d.evaluation.recognition_card import confusions, write_card
from smirk3d.fer.network import ExpressionNetwork
from smirk3d.networks.half_file import save_half


@pytest.fixture
def predicted() -> Predicted:
    label = np.array([0] * 10 + [1] * 10)
    prediction = np.array([0] * 9 + [1] + [1] * 6 + [0] * 4)
    return Predicted("20 faces", ("calm", "sad"), np.eye(2)[prediction] * 0.8 + 0.1, label, ("  probe: 0.7",))


def test_figures_follow_from_the_predictions(predicted: Predicted) -> None:
    assert predicted.recalls == pytest.approx([0.9, 0.6]) and predicted.confusion.tolist() == [[9, 1], [4, 6]]
    assert predicted.figures() == "WAR 75.0, UAR 75.0, ECE 0.150"
    assert confusions(predicted) == ["sad taken for calm (40 % of 10)"]


def test_counts_by_group() -> None:
    people = tuple(
        Person({"sex": sex}, {"neutral": neutral, "smiling": True})
        for sex, neutral in (("male", True), ("female", False), ("female", True))
    )
    rows = {(row.attribute, row.group): row for row in group_rows(people)}
    assert rows["all", ""].right == {"neutral": 2, "smiling": 3} and rows["sex", "female"].people == 2
    assert rows["sex", "female"].right["neutral"] == 1 and rows["sex", "male"].right["neutral"] == 1


def test_the_card_has_tables_and_plots(predicted: Predicted, tmp_path: Path) -> None:
    people = (Person({"sex": "female"}, {"neutral": True, "smiling": False}),)
    write_card(tmp_path / "card.md", "x", [predicted], group_rows(people), "smirk3d fer evaluate")
    text = (tmp_path / "card.md").read_text()
    assert "| calm | 10 | 90 % |" in text and "sad taken for calm (40 % of 10)" in text
    assert "| sex | female | 1 | 1 (100 %) | 0 (0 %) |" in text
    for name in ("card_0_reliability.png", "card_0_confusion.png"):
        assert f"]({name})" in text and Image.open(tmp_path / name).width == 1280


def test_people_are_read_and_measured(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    torch.manual_seed(0)
    save_half(ExpressionNetwork().eval(), tmp_path / "n.safetensors", {})
    for name in ("neutral", "smiling"):
        Image.fromarray(astronaut()[:300, 60:360]).save(tmp_path / f"1_{name}.jpg")
    (tmp_path / "people.csv").write_text("id,age,gender,ethnicity\n1,30,female,west_asian\n")
    command = ["fer", "evaluate", str(tmp_path / "n.safetensors"), "--london", str(tmp_path)]
    assert main([*command, "--card", str(tmp_path / "c.md")]) == 0
    out = capsys.readouterr().out
    assert "all: 1 people" in out and "age 25 to 34: 1 people" in out and "ethnicity west asian" in out
    assert str(tmp_path) not in (tmp_path / "c.md").read_text()
    assert main([*command, "--card", str(tmp_path / "c.txt")]) == 2
    (tmp_path / "people.csv").write_text("id,age,gender,ethnicity\n1,old,female,white\n")
    with pytest.raises(Smirk3dError, match="the age of 1"):
        recognized_people(None, tmp_path)
