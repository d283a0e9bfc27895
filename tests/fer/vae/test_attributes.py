"""Attribute vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from smirk3d.errors import Smirk3dError
from smirk3d.fer.vae.attributes import (
    MAX_GAIN,
    PACKAGED,
    attribute_directions,
    attribute_values,
    check_attributes,
    code_change,
    unit_gains,
)
from smirk3d.fer.vae.directions_file import learned_directions, load_directions, read_attributes, save_directions
from smirk3d.fer.vae.network import N_LATENT
from smirk3d.head.arkit import ARKIT_NAMES


def test_one_attribute_of_two_values_gives_the_difference_of_the_means() -> None:
    rng = np.random.default_rng(0)
    codes, has = rng.normal(size=(200, 5)), rng.random((200, 1)) < 0.3
    expected = codes[has[:, 0]].mean(axis=0) - codes[~has[:, 0]].mean(axis=0)
    np.testing.assert_allclose(attribute_directions(codes, has.astype(float))[0], expected, rtol=2e-3)


def test_what_goes_with_an_attribute_is_not_in_its_vector() -> None:
    rng = np.random.default_rng(1)
    smile = rng.random(2000)
    mouth_open = 0.8 * smile + 0.2 * rng.random(2000)
    true = np.eye(2, 4)
    codes = np.column_stack([smile, mouth_open]) @ true + 0.05 * rng.normal(size=(2000, 4))
    directions = attribute_directions(codes, np.column_stack([smile, mouth_open]))
    np.testing.assert_allclose(directions, true, atol=0.06)


def test_a_unit_is_what_a_regression_reads_from_the_code() -> None:
    rng = np.random.default_rng(4)
    values = rng.random((4000, 2))
    codes = np.column_stack([values, values]) + rng.normal(size=(4000, 4)) * [0.25, 5, 0.25, 5]
    directions = attribute_directions(codes, values)
    gains = unit_gains(codes, values, directions)
    reader = LinearRegression().fit(codes, values[:, 0])
    raised = reader.predict(codes[:1] + gains[0] * directions[0]) - reader.predict(codes[:1])
    assert raised[0] == pytest.approx(1, abs=0.06) and 1 < gains[0] < MAX_GAIN
    assert gains[1] == MAX_GAIN  # the code holds hardly anything of it


def test_a_constant_attribute_has_no_vector() -> None:
    codes = np.random.default_rng(2).normal(size=(50, 3))
    values = np.column_stack([codes[:, 0], np.full(50, 0.4)])
    assert not attribute_directions(codes, values)[1].any()


def test_packaged_attributes_are_means_of_weights() -> None:
    weights = np.zeros((1, len(ARKIT_NAMES)))
    weights[0, ARKIT_NAMES.index("mouthSmileLeft")] = 1
    values = dict(zip(PACKAGED, attribute_values(weights)[0]))
    assert values.pop("smile") == 0.5 and not any(values.values())


def test_changes_add_up_and_unknown_names_are_refused() -> None:
    directions = {"smile": np.array([1.0, 0.0]), "frown": np.array([0.0, 1.0])}
    np.testing.assert_array_equal(code_change(directions, {"smile": 2, "frown": -1}), [2, -1])
    with pytest.raises(Smirk3dError, match="unknown attribute 'grin'; there are smile, frown"):
        code_change(directions, {"grin": 1})
    for amount in (float("nan"), 1000, -11):
        with pytest.raises(Smirk3dError, match=r"attribute smile: the amount must be in \[-10, 10\]"):
            code_change(directions, {"smile": amount})
    with pytest.raises(Smirk3dError, match="name what to change"):
        code_change(directions, {})


def test_too_few_faces_are_refused() -> None:
    values = np.zeros((100, 1))
    values[:19] = 1
    with pytest.raises(Smirk3dError, match="attribute beard: 19 faces"):
        check_attributes(["beard"], values)


def test_vectors_of_a_table_survive_the_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    table = tmp_path / "table.csv"
    has = rng.random(100) < 0.5
    rows = [f"faces/{k}.png,{int(value)},{'' if k == 0 else 1 - int(value)}" for k, value in enumerate(has)]
    table.write_text("\n".join(["path,beard,hat", *rows]))
    names, values = read_attributes(table)
    codes = {f"elsewhere/{k}.png": np.full(N_LATENT, float(value)) for k, value in enumerate(has)}
    directions, count = learned_directions(codes, names, values, table)
    assert names == ("beard", "hat") and count == 99  # the first face lacks a value
    save_directions(tmp_path / "d.npz", directions)
    found = load_directions(tmp_path / "d.npz")
    assert list(found) == ["beard", "hat"]
    np.testing.assert_allclose(found["beard"] - found["hat"], 1, rtol=1e-2)


@pytest.mark.parametrize(
    ("text", "message"),
    [("beard\n1", "lacks a column with keys"), ("key\na", "columns of attributes"), ("key,x\na,blue", "x is blue")],
)
def test_faults_of_tables_are_errors(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(Smirk3dError, match=f"table.csv.*{message}"):
        read_attributes(path)
    with pytest.raises(Smirk3dError, match="holds no attribute vectors"):
        load_directions(path)
