"""Expression vectors against raters, on made-up triplets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut, cat

from smirk3d.cli.main import main
from smirk3d.evaluation.triplet_accuracy import odd_faces


def test_the_face_that_is_far_from_both_others_is_odd() -> None:
    vectors = np.array([[[0.0], [1.0], [9.0]], [[5.0], [0.0], [4.5]], [[-9.0], [1.0], [0.5]]])
    assert odd_faces(vectors).tolist() == [2, 1, 0]


def test_triplets_of_a_table_are_measured(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    face = Image.fromarray(astronaut()[40:200, 150:310])
    face.save(pictures / "a.png")
    face.point(lambda value: min(255, value + 12)).save(pictures / "b.png")
    Image.fromarray(cat()[50:250, 100:300]).save(pictures / "c.png")
    (pictures / "bad.png").write_bytes(b"x")
    rows = [("a", "b", "c", "3"), ("c", "a", "b", "1"), ("a", "c", "b", "1"), ("a", "bad", "b", "1")]
    table = "\n".join(
        ",".join([*(f"http://x/{name}.png,0,1,0,1" for name in names), "TWO_CLASS_TRIPLET", "rater", odd])
        for *names, odd in rows
    )
    (tmp_path / "fec.csv").write_text(table)
    command = ["fer", "evaluate", "--triplets", str(tmp_path / "fec.csv")]
    assert main([*command, "--pictures", str(pictures)]) == 0
    assert "3 triplets, 1 left out: the raters' odd face 0.667; TWO_CLASS_TRIPLET 0.667 (3)" in capsys.readouterr().out
    assert main(command) == 2  # the pictures are not named
    (tmp_path / "empty").mkdir()
    assert main([*command, "--pictures", str(tmp_path / "empty")]) == 1
