"""Names of outputs: short, independent of the order of the inputs, unique."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from smirk3d.batch.naming import plan_outputs


def _touch(root: Path, *names: str) -> list[str]:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return [str(root / name) for name in names]


def _stems(inputs: list[str], out: Path | None = None) -> dict[str, str]:
    return {job.path.name: job.stem for job in plan_outputs(inputs, out)}


def test_file_is_named_by_its_stem(tmp_path: Path) -> None:
    assert _stems(_touch(tmp_path, "a/b.jpg")) == {"b.jpg": "b"}


def test_folder_keeps_its_structure(tmp_path: Path) -> None:
    _touch(tmp_path, "in/b.jpg", "in/x/b.jpg", "in/x/y/c.d.png")
    jobs = plan_outputs([str(tmp_path / "in")])
    assert [job.stem for job in jobs] == ["b", os.path.join("x", "b"), os.path.join("x", "y", "c.d")]


def test_equal_stems_keep_their_suffixes(tmp_path: Path) -> None:
    _touch(tmp_path, "b.jpg", "b.png", "c.png")
    assert _stems([str(tmp_path)]) == {"b.jpg": "b.jpg", "b.png": "b.png", "c.png": "c"}


def test_equal_names_in_different_folders(tmp_path: Path) -> None:
    files = _touch(tmp_path, "s1/neutral.jpg", "s2/neutral.jpg")
    assert [job.stem for job in plan_outputs(files)] == [os.path.join(s, "neutral") for s in ("s1", "s2")]


def test_names_do_not_depend_on_the_order(tmp_path: Path) -> None:
    files = _touch(tmp_path, "b.jpg", "b.png", "x/b.jpg", "x/b.jpg.png", "y/b")
    plans = [{job.path: job.stem for job in plan_outputs(order)} for order in itertools.permutations(files)]
    assert all(names == plans[0] for names in plans)
    assert len(set(plans[0].values())) == len(files)


def test_repeated_input_is_one_job(tmp_path: Path) -> None:
    (file,) = _touch(tmp_path, "b.jpg")
    assert len(plan_outputs([file, str(tmp_path), file])) == 1


def test_own_overlays_are_no_inputs(tmp_path: Path) -> None:
    _touch(tmp_path, "b.jpg", "b_overlay.png")
    assert _stems([str(tmp_path)], tmp_path) == {"b.jpg": "b"}
    assert len(plan_outputs([str(tmp_path)], tmp_path / "out")) == 2
    assert len(plan_outputs([str(tmp_path / "b_overlay.png")], tmp_path)) == 1, "named explicitly"


@pytest.mark.parametrize("name", ["missing.jpg", "nothing/*.jpg"])
def test_missing_input_is_a_job(tmp_path: Path, name: str) -> None:
    assert len(plan_outputs([str(tmp_path / name)])) == 1
