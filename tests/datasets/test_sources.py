"""What lies at a path is found out, and photos are prepared once, in the cache."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from training_faces import detection, face_points, record

from smirk3d.datasets import prepared_cache, sources
from smirk3d.datasets.config import DataConfig, SourceConfig
from smirk3d.datasets.prepared_faces import PrepareOptions
from smirk3d.datasets.shards import write_shard
from smirk3d.datasets.sources import FaceSource, detect_kind, open_source
from smirk3d.detection.detector import Detection
from smirk3d.errors import Smirk3dError
from smirk3d.head.model import HeadModel

SIDE = 160


class Finder:
    """Finds a face in the middle of every photo that is not grey."""

    calls = 0

    def __init__(self, max_faces: int) -> None:
        assert max_faces == 1

    def __enter__(self) -> Finder:
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass

    def detect(self, pixels: np.ndarray) -> list[Detection]:
        Finder.calls += 1
        return [detection(face_points((SIDE / 2, SIDE / 2), 80))] if pixels.std() > 1 else []


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, and a quick detector."""
    monkeypatch.setenv("SMIRK3D_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(prepared_cache, "Detector", Finder)
    # Else a tenth of the photos would be for validation, by a hash of names that are never the same here.
    monkeypatch.setattr(prepared_cache, "PrepareOptions", partial(PrepareOptions, val_share=0.0))
    monkeypatch.setattr(Finder, "calls", 0)
    return tmp_path / "cache"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos" / "more").mkdir(parents=True)
    for name in ("a.png", "more/b.png"):
        _photo(tmp_path / "photos" / name)
    Image.fromarray(np.full((SIDE, SIDE, 3), 90, np.uint8)).save(tmp_path / "photos" / "grey.png")
    return tmp_path / "photos"


def _photo(path: Path) -> None:
    pixels = np.random.default_rng(len(path.name)).integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def _open(path: Path, head: HeadModel, **changes) -> FaceSource:
    source = SourceConfig(path, **changes)
    return open_source(source, DataConfig((source,), size=32), head)


def test_photos_are_prepared_once_and_new_ones_added(
    photos: Path, cache: Path, open_head: HeadModel, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "smirk3d")
    source = _open(photos, open_head)
    assert len(source) == source.people == 2 and Finder.calls == 3
    assert "dropped: 1 no face found; see " in caplog.text and "report.csv" in caplog.text
    assert "photos: 2 faces of 2 people" in caplog.text
    monkeypatch.chdir(photos.parent)
    assert len(_open(Path("photos"), open_head, kind="folder")) == 2 and Finder.calls == 3
    _photo(photos / "new.png")
    assert len(_open(photos, open_head)) == 3 and Finder.calls == 4
    (photos / "a.png").unlink()
    assert len(_open(photos, open_head)) == 2 and Finder.calls == 4  # a photo that was removed is not used any more
    assert len(list((cache / "prepared").iterdir())) == 1
    batch = source.batch(np.array([1, 0, 1]), np.random.default_rng(0))
    assert batch.image.shape == (3, 3, 32, 32) and batch.person.tolist() == [1, 0, 1]


def test_other_folders_and_options_have_other_shards(photos: Path, tmp_path: Path) -> None:
    one = prepared_cache.prepared(photos, "folder")
    assert prepared_cache.prepared(photos, "folder", PrepareOptions(max_side_px=100)).folder != one.folder
    assert prepared_cache.prepared(photos / "more", "folder").folder != one.folder
    assert prepared_cache.prepared(photos, "folder").folder == one.folder


def test_an_interrupted_preparation_goes_on(
    photos: Path, open_head: HeadModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = Finder.detect

    def stopped(finder: Finder, pixels: np.ndarray) -> list[Detection]:
        if Finder.calls == 1:
            raise KeyboardInterrupt
        return find(finder, pixels)

    monkeypatch.setattr(Finder, "detect", stopped)
    with pytest.raises(KeyboardInterrupt):
        _open(photos, open_head)
    monkeypatch.setattr(Finder, "detect", find)
    assert len(_open(photos, open_head)) == 2 and Finder.calls == 3


def test_what_lies_at_a_path(photos: Path, tmp_path: Path) -> None:
    assert detect_kind(photos) == "folder"
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "a.MP4").write_bytes(b"")
    assert detect_kind(tmp_path / "films") == detect_kind(tmp_path / "films" / "a.MP4") == "videos"
    write_shard(photos / "train-000000.tar", [record("a")])
    assert detect_kind(photos) == "shards"
    with pytest.raises(Smirk3dError, match="holds photos and videos; say which with kind"):
        detect_kind(tmp_path)
    (tmp_path / "empty").mkdir()
    for name in ("empty", "none"):
        with pytest.raises(Smirk3dError, match="no shards, photos or videos there"):
            detect_kind(tmp_path / name)
    with pytest.raises(Smirk3dError, match="no folder and no video"):
        detect_kind(photos / "a.png")


def test_kinds_that_do_not_fit_are_refused(photos: Path, tmp_path: Path, open_head: HeadModel) -> None:
    with pytest.raises(Smirk3dError, match=r"no train-\*\.tar there"):
        _open(photos, open_head, kind="shards")
    with pytest.raises(Smirk3dError, match="no such folder"):
        _open(tmp_path / "none", open_head, kind="folder")
    with pytest.raises(Smirk3dError, match="no videos there"):
        _open(photos, open_head, kind="videos")
    with pytest.raises(Smirk3dError, match="no targets for this head"):
        _open(photos, open_head, targets=tmp_path / "none.npz")


def test_photos_without_faces_are_told(photos: Path, open_head: HeadModel) -> None:
    for name in ("a.png", "more/b.png"):
        (photos / name).unlink()
    with pytest.raises(Smirk3dError, match=r"photos: no faces for train in it; .*report\.csv says why"):
        _open(photos, open_head)


def test_a_cache_that_cannot_be_written_is_named_once_and_not_used(
    photos: Path,
    tmp_path: Path,
    open_head: HeadModel,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("SMIRK3D_CACHE", str(tmp_path / "file"))
    assert len(_open(photos, open_head)) == len(_open(photos, open_head)) == 2
    (warned,) = [each.message for each in caplog.records if "SMIRK3D_CACHE" in each.message]
    assert str(tmp_path / "file") in warned and "\n" not in warned


def test_what_is_in_a_cache_that_cannot_be_written_any_more_is_used(
    photos: Path, cache: Path, open_head: HeadModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise Smirk3dError(f"cannot write {path}: read-only")

    _open(photos, open_head)
    before = {path: path.stat().st_mtime_ns for path in cache.rglob("*")}
    monkeypatch.setattr(prepared_cache, "check_writable", refuse)
    _photo(photos / "new.png")
    assert len(_open(photos, open_head)) == 3 and Finder.calls == 4  # the new photo alone
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*")} == before


def test_rendered_faces_stay_in_memory_where_the_cache_cannot_be_written(
    tmp_path: Path, open_head: HeadModel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folders: list[Path | None] = []

    class Nothing:
        def __init__(self, *args: object, folder: Path | None, **options: object) -> None:
            folders.append(folder)

        def __len__(self) -> int:
            return 1

        def prepare(self) -> list[int]:
            return []

    monkeypatch.setattr(sources, "RenderedFaces", Nothing)
    rendered = SourceConfig(kind="rendered", count=1)
    open_source(rendered, DataConfig((rendered,), size=32), open_head)
    (tmp_path / "other").write_bytes(b"")
    monkeypatch.setenv("SMIRK3D_CACHE", str(tmp_path / "other"))
    open_source(rendered, DataConfig((rendered,), size=32), open_head)
    assert folders == [tmp_path / "cache" / "rendered", None] and "set SMIRK3D_CACHE" in caplog.text
