"""Readers of labelled faces."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from smirk3d.errors import Smirk3dError
from smirk3d.fer.dataset_readers.labelled_face import shares_of_votes
from smirk3d.fer.datasets import read_labelled
from smirk3d.fer.emotions import EMOTIONS

HEADER = ",".join(EMOTIONS)


def _picture(grey: int = 100, form: str = "WEBP") -> bytes:
    file = io.BytesIO()
    Image.new("L", (48, 48), grey).save(file, form)
    return file.getvalue()


def _archive(path: Path, names: list[str]) -> None:
    with tarfile.open(path, "w") as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(content := _picture())
            archive.addfile(info, io.BytesIO(content))


def test_votes_become_shares_and_unusable_faces_are_left_out() -> None:
    assert shares_of_votes([4, 0, 0, 1, 3, 2, 0, 0, 0, 0]) == pytest.approx([0.4, 0, 0, 0.1, 0.3, 0.2, 0, 0])
    assert shares_of_votes([4, 0, 0, 0, 0, 0, 0, 0, 2, 0]) == pytest.approx([1, 0, 0, 0, 0, 0, 0, 0])
    assert shares_of_votes([3, 0, 0, 0, 0, 0, 0, 0, 7, 0]) is None
    assert shares_of_votes([0, 0, 0, 0, 0, 0, 0, 0, 0, 10]) is None


def test_ferplus_with_archives(tmp_path: Path) -> None:
    rows = ["a,train,8,2,0,0,0,0,0,0,0,0", "b,train,0,0,0,0,0,0,0,0,0,10", "c,val,0,10,0,0,0,0,0,0,0,0"]
    (tmp_path / "labels.csv").write_text("\n".join([f"key,split,{HEADER},unknown,not_a_face", *rows]))
    _archive(tmp_path / "train.tar", ["a.webp", "b.webp"])
    _archive(tmp_path / "val.tar", ["c.webp", "unlisted.webp"])
    (face,) = read_labelled(tmp_path, "train")
    assert face.key == "a" and face.votes[:2] == pytest.approx([0.8, 0.2]) and face.label == 0
    assert [each.key for each in read_labelled(tmp_path, "val")] == ["c"]


def test_ferplus_with_pictures(tmp_path: Path) -> None:
    rows = [
        "Training,x.png,0,0,0,9,0,0,0,0,1,0",
        "PublicTest,y.png,0,0,9,0,0,0,0,0,1,0",
        "Training,,0,0,0,0,0,0,0,0,0,10",
    ]
    (tmp_path / "fer2013new.csv").write_text("\n".join([f"Usage,Image name,{HEADER},unknown,NF", *rows]))
    (face,) = read_labelled(tmp_path, "train")
    assert face.source == tmp_path / "FER2013Train" / "x.png" and EMOTIONS[face.label] == "sadness"
    assert read_labelled(tmp_path, "val")[0].source == tmp_path / "FER2013Valid" / "y.png"


def test_fer2013_alone_and_with_votes(tmp_path: Path) -> None:
    pixels = " ".join(["7"] * 48 * 48)
    table = tmp_path / "fer2013.csv"
    table.write_text(f"emotion,pixels,Usage\n0,{pixels},Training\n6,{pixels},PublicTest\n")
    (face,) = read_labelled(table, "train")
    assert EMOTIONS[face.label] == "anger" and isinstance(face.source, np.ndarray) and (face.source == 7).all()
    assert EMOTIONS[read_labelled(tmp_path, "val")[0].label] == "neutral"
    rows = ["Training,,0,0,0,0,0,0,0,0,0,10", "PublicTest,,0,10,0,0,0,0,0,0,0,0"]
    (tmp_path / "fer2013new.csv").write_text("\n".join([f"Usage,Image name,{HEADER},unknown,NF", *rows]))
    assert EMOTIONS[read_labelled(tmp_path, "val")[0].label] == "happiness"
    with pytest.raises(Smirk3dError, match="no labelled faces of the split train"):
        read_labelled(tmp_path, "train")


def test_folders_of_classes_and_tables(tmp_path: Path) -> None:
    for name in ("Happy", "sadness", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").write_bytes(_picture(form="PNG"))
    assert [(each.key, EMOTIONS[each.label]) for each in read_labelled(tmp_path)] == [
        (str(Path("Happy", "a.png")), "happiness"),
        (str(Path("sadness", "a.png")), "sadness"),
    ]
    table = tmp_path / "labels.csv"
    table.write_text("path,label\nHappy/a.png,joy\n")
    (face,) = read_labelled(table)
    assert face.source == tmp_path / "Happy" / "a.png" and EMOTIONS[face.label] == "happiness"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("path\na.png\n", "lacks the column 'label'"),
        ("path,label\na.png,bored\n", "row 2: 'bored' is none"),
        ("path,label\na.png\n", "row 2 is too short"),
        ("emotion,pixels,Usage\n9,1 2,Training\n", "row 2: emotion 9 is not 0 to 6"),
        ("emotion,pixels,Usage\n1,1 2,Training\n", "row 2: no 48 × 48 pixels"),
        ("path,label\n", "no labelled faces"),
    ],
)
def test_a_faulty_table_is_an_error_in_one_line(tmp_path: Path, content: str, reason: str) -> None:
    table = tmp_path / "table.csv"
    table.write_text(content)
    with pytest.raises(Smirk3dError, match=reason) as caught:
        read_labelled(table)
    assert "\n" not in str(caught.value) and str(table) in str(caught.value)


def test_a_damaged_archive_and_unknown_places_are_errors(tmp_path: Path) -> None:
    with pytest.raises(Smirk3dError, match="no folder and no"):
        read_labelled(tmp_path / "missing")
    with pytest.raises(Smirk3dError, match="no known layout"):
        read_labelled(tmp_path)
    with pytest.raises(Smirk3dError, match="is no split"):
        read_labelled(tmp_path, "all")
    (tmp_path / "labels.csv").write_text(f"key,split,{HEADER},unknown,not_a_face\n")
    (tmp_path / "train.tar").write_bytes(b"no archive" * 100)
    with pytest.raises(Smirk3dError, match="unreadable"):
        read_labelled(tmp_path, "train")
