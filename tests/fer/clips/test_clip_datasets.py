"""Readers of data sets of clips, on made-up files of the same layout."""

from __future__ import annotations

from pathlib import Path

import pytest

from smirk3d.errors import Smirk3dError
from smirk3d.fer.clips.datasets import (
    MAFW_COUNTS,
    MAFW_EMOTIONS,
    read_clip_folder,
    read_dfew,
    read_ferv39k,
    read_mafw,
)
from smirk3d.fer.emotions import EMOTIONS


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _frames(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "00001.jpg").write_bytes(b"")


def _dfew(root: Path, first: int = 1, table: str = "train(single-labeled)/set_2.csv") -> None:
    _write(root / "EmoLabel_DataSplit" / table, f"order,label\n1,{first}\n2,{first + 3}\n")
    for name in ("00001", "00002"):
        _frames(root / "Clip" / "clip_224x224" / name)


def _emotions(clips: list) -> list[str]:
    return [EMOTIONS[clip.label] for clip in clips]


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("table", ["train(single-labeled)/set_2.csv", "train_set_2.csv", "single_trainset_2.csv"])
def test_dfew(tmp_path: Path, first: int, table: str) -> None:
    _dfew(tmp_path, first, table)
    clips = read_dfew(tmp_path, "train", 2)
    assert _emotions(clips) == ["happiness", "anger"] and clips[0].path.name == "00001"
    with pytest.raises(Smirk3dError, match="is missing"):
        read_dfew(tmp_path, "test", 2)


def test_a_clip_that_is_not_there_is_named(tmp_path: Path) -> None:
    _dfew(tmp_path)
    (tmp_path / "Clip/clip_224x224/00002/00001.jpg").unlink()
    (tmp_path / "Clip/clip_224x224/00002").rmdir()
    with pytest.raises(Smirk3dError, match=r"00002: is missing, which row 3 of set_2.csv names"):
        read_dfew(tmp_path, "train", 2)


def test_a_label_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    _dfew(tmp_path, 5)
    with pytest.raises(Smirk3dError, match="none of 7"):
        read_dfew(tmp_path, "train", 2)


def test_ferv39k(tmp_path: Path) -> None:
    _write(tmp_path / "4_setups/All_scenes/test_All.csv", "Action/Angry/0011 Angry\nWar/Fear/0002 Fear\n")
    for name in ("Action/Angry/0011", "War/Fear/0002"):
        _frames(tmp_path / "2_ClipsforFaceCrop" / name)
    assert _emotions(read_ferv39k(tmp_path, "test")) == ["anger", "fear"]


def _mafw(root: Path, order: tuple[str, ...]) -> None:
    counts = dict(zip(MAFW_EMOTIONS, MAFW_COUNTS))
    for part, share in (("train", 40), ("test", 200)):
        rows = [f"c{name}{k}.mp4,{order.index(name) + 1}" for name in order for k in range(counts[name] // share + 1)]
        _write(root / "split/set_1" / f"{part}.csv", "\n".join(["video_name,labels", *rows]) + "\n")
    (root / "clips").mkdir()
    for name in order:
        for k in range(40):
            (root / "clips" / f"c{name}{k}.mp4").write_bytes(b"")


@pytest.mark.parametrize("order", [MAFW_EMOTIONS, tuple(sorted(MAFW_EMOTIONS))])
def test_mafw_tells_its_order_by_the_counts(tmp_path: Path, order: tuple[str, ...]) -> None:
    _mafw(tmp_path, order)
    clips = read_mafw(tmp_path, "train", 1)
    assert {EMOTIONS[clip.label] for clip in clips} == set(EMOTIONS)
    assert all(EMOTIONS[clip.label] in clip.name for clip in clips)


def test_mafw_with_names_and_without_an_order(tmp_path: Path) -> None:
    _mafw(tmp_path, MAFW_EMOTIONS)
    for part in ("train", "test"):
        _write(tmp_path / "split/set_1" / f"{part}.csv", "cfear1.mp4,Fear\ncanxiety1.mp4,anxiety\n")
    assert _emotions(read_mafw(tmp_path, "train", 1)) == ["fear"]
    for part in ("train", "test"):
        _write(tmp_path / "split/set_1" / f"{part}.csv", "cfear1.mp4,5\n")  # neutral, or disgust in the other order
    with pytest.raises(Smirk3dError, match="counts fit several numberings"):
        read_mafw(tmp_path, "train", 1)
    _write(tmp_path / "split/set_1/train.csv", "cfear1.mp4,12\n")
    with pytest.raises(Smirk3dError, match="no class of MAFW"):
        read_mafw(tmp_path, "train", 1)


def test_class_folders_are_split_in_five(tmp_path: Path) -> None:
    for k in range(10):
        (tmp_path / "Happy").mkdir(exist_ok=True)
        (tmp_path / "Happy" / f"{k}.mp4").write_bytes(b"")
        _frames(tmp_path / "sad" / f"clip{k}")
    (tmp_path / "notes").mkdir()
    folds = [{clip.name for clip in read_clip_folder(tmp_path, "test", fold)} for fold in range(1, 6)]
    assert all(len(names) == 4 for names in folds) and len(set.union(*folds)) == 20
    train = {clip.name for clip in read_clip_folder(tmp_path, "train", 1)}
    assert train == set.union(*folds) - folds[0]


def test_a_table_of_paths(tmp_path: Path) -> None:
    for k in range(5):
        (tmp_path / f"{k}.mp4").write_bytes(b"")
    rows = "".join(f"{k}.mp4,fear\n" for k in range(5))
    _write(tmp_path / "clips.csv", "path,label\n" + rows)
    assert len(read_clip_folder(tmp_path / "clips.csv", "train")) == 4
    _write(tmp_path / "clips.csv", "path,label\n0.mp4,bored\n")
    with pytest.raises(Smirk3dError, match="row 2: 'bored'"):
        read_clip_folder(tmp_path / "clips.csv", "train")
    _write(tmp_path / "clips.csv", "file,class\n0.mp4,fear\n")
    with pytest.raises(Smirk3dError, match="columns path and label"):
        read_clip_folder(tmp_path / "clips.csv", "train")


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Smirk3dError, match="no labelled clips"):
        read_clip_folder(tmp_path, "train")
