"""Readers of AffectNet, RAF-DB and triplets, on made-up files of their layouts."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from smirk3d.errors import Smirk3dError
from smirk3d.fer.dataset_readers.fec_triplets import read_fec_triplets
from smirk3d.fer.datasets import layout_of, read_labelled
from smirk3d.fer.emotions import EMOTIONS

AFFECTNET_HEADER = (
    "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
)
LANDMARKS = ";".join(["1.5;2.5"] * 68)


def _picture(path: Path, size: tuple[int, int] = (100, 80)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((size[1], size[0]), np.uint8)
    pixels[20:60, 40:80] = 200  # the face
    Image.fromarray(pixels).save(path)


@pytest.mark.parametrize("header", [f"{AFFECTNET_HEADER}\n", ""])
def test_affectnet_of_2017(tmp_path: Path, header: str) -> None:
    rows = [
        f"1/a.jpg,40,20,40,40,{LANDMARKS},1,0.5,0.25",
        f"1/b.jpg,0,0,9,9,{LANDMARKS},3,-2,-2",
        f"2/c.jpg,0,0,9,9,{LANDMARKS},10,-2,-2",
    ]
    (tmp_path / "training.csv").write_text(header + "\n".join(rows) + "\n")
    _picture(tmp_path / "Manually_Annotated_Images" / "1" / "a.jpg")
    first, second = read_labelled(tmp_path, "train")
    assert (EMOTIONS[first.label], EMOTIONS[second.label]) == ("happiness", "surprise")
    assert first.place == (0.5, 0.25) and second.place is None
    assert first.window().min() > 150  # the box alone
    with pytest.raises(Smirk3dError, match="split val"):
        read_labelled(tmp_path, "val")
    (tmp_path / "validation.csv").write_text("1/a.jpg,40,20,40,x\n")
    with pytest.raises(Smirk3dError, match="row 1"):
        read_labelled(tmp_path, "val")


def test_affectnet_of_eight_classes_with_numbers_and_texts(tmp_path: Path) -> None:
    folder = tmp_path / "train_set"
    for name, expression in (("2", np.array("7")), ("10", np.int64(4)), ("11", np.int64(8))):
        _picture(folder / "images" / f"{name}.jpg")
        (folder / "annotations").mkdir(exist_ok=True)
        np.save(folder / "annotations" / f"{name}_exp.npy", expression)
        np.save(folder / "annotations" / f"{name}_val.npy", np.array("-0.5"))
        np.save(folder / "annotations" / f"{name}_aro.npy", np.float64(0.125))
    faces = read_labelled(tmp_path, "train")
    assert [(face.key, EMOTIONS[face.label]) for face in faces] == [("2.jpg", "contempt"), ("10.jpg", "fear")]
    assert faces[0].place == (-0.5, 0.125) and faces[0].window().shape == (48, 48)
    np.save(folder / "annotations" / "2_exp.npy", np.array([1, 2]))
    with pytest.raises(Smirk3dError, match="2_exp"):
        read_labelled(tmp_path, "train")


def test_affectnet_never_executes_a_pickle(tmp_path: Path) -> None:
    _picture(tmp_path / "val_set" / "images" / "1.jpg")
    (tmp_path / "val_set" / "annotations").mkdir()
    np.save(tmp_path / "val_set" / "annotations" / "1_exp.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(Smirk3dError, match="pickle"):
        read_labelled(tmp_path, "val")


def test_raf_db(tmp_path: Path) -> None:
    (tmp_path / "EmoLabel").mkdir()
    path = tmp_path / "EmoLabel" / "list_patition_label.txt"
    path.write_text("train_00001.jpg 5\r\ntrain_00002.jpg 1\ntest_0001.jpg 7\n")
    faces = read_labelled(tmp_path, "train")
    assert [face.key for face in faces] == ["train_00001", "train_00002"]
    assert [EMOTIONS[face.label] for face in faces] == ["sadness", "surprise"]
    assert faces[0].source == tmp_path / "Image" / "aligned" / "train_00001_aligned.jpg"
    assert [EMOTIONS[face.label] for face in read_labelled(tmp_path, "test")] == ["neutral"]
    path.write_text("train_00001.jpg 8\n")
    with pytest.raises(Smirk3dError, match="line 1"):
        read_labelled(tmp_path, "train")


def test_ferplus_with_label_files(tmp_path: Path) -> None:
    (tmp_path / "FER2013Valid").mkdir()
    rows = ['fer1.png,"(0, 0, 48, 48)",0,0,9,0,0,0,1,0,0,0', 'fer2.png,"(0, 0, 48, 48)",0,0,0,0,0,0,1,0,9,0']
    (tmp_path / "FER2013Valid" / "label.csv").write_text("\n".join(rows))
    (face,) = read_labelled(tmp_path, "val")
    assert EMOTIONS[face.label] == "surprise" and face.source == tmp_path / "FER2013Valid" / "fer1.png"
    assert face.votes[6] == pytest.approx(0.1) and layout_of(tmp_path).splits == ("val",)


def _triplet(names: list[str], kind: str, votes: list[int]) -> str:
    cells = [cell for name in names for cell in (f"http://x.org/p/{name}", "0.1", "0.5", "0.2", "0.6")]
    return ",".join([*cells, kind, *(cell for k, vote in enumerate(votes) for cell in (f"rater{k}", str(vote)))])


def test_triplets_with_local_pictures(tmp_path: Path) -> None:
    rows = [
        _triplet(["a.jpg", "b%20b.jpg", "c.jpg"], "ONE_CLASS_TRIPLET", [3, 3, 1, 3, 3, 2]),
        _triplet(["a.jpg", "c.jpg", "a.jpg"], "TWO_CLASS_TRIPLET", [1, 2, 1, 2]),
        _triplet(["a.jpg", "nowhere.jpg", "c.jpg"], "THREE_CLASS_TRIPLET", [1]),
    ]
    table, pictures = tmp_path / "fec.csv", tmp_path / "pictures"
    table.write_text("\n".join(rows))
    hashed = hashlib.sha1(b"http://x.org/p/c.jpg", usedforsecurity=False).hexdigest()
    for name in ("a.jpg", "b b.jpg", f"{hashed}.png"):
        _picture(pictures / name)
    found = read_fec_triplets(table, pictures)
    assert (found.n_rows, found.n_undecided, found.n_without_picture) == (3, 1, 1)
    (triplet,) = found.triplets
    assert triplet.odd == 2 and triplet.agreement == pytest.approx(4 / 6) and triplet.kind == "ONE_CLASS_TRIPLET"
    assert [face.picture.name for face in triplet.faces] == ["a.jpg", "b b.jpg", f"{hashed}.png"]
    assert triplet.faces[0].box == (0.1, 0.2, 0.5, 0.6)


def test_triplets_with_a_table_of_pictures(tmp_path: Path) -> None:
    (tmp_path / "fec.csv").write_text(_triplet(["a.jpg"] * 3, "ONE_CLASS_TRIPLET", [2]))
    (tmp_path / "map.csv").write_text("url,path\nhttp://x.org/p/a.jpg,z.jpg\n")
    assert read_fec_triplets(tmp_path / "fec.csv", tmp_path / "map.csv").n_without_picture == 1
    _picture(tmp_path / "z.jpg")
    assert read_fec_triplets(tmp_path / "fec.csv", tmp_path / "map.csv").triplets[0].odd == 1
    (tmp_path / "fec.csv").write_text("a,b\n")
    with pytest.raises(Smirk3dError, match="row 1"):
        read_fec_triplets(tmp_path / "fec.csv", tmp_path / "map.csv")
