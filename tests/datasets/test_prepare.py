"""From photos to shards: what is kept, where it lies, and that no interruption leaves half a thing."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut
from training_faces import detection, face_points

from smirk3d.datasets import shard_writer
from smirk3d.datasets.padded_crop import PADDED_SCALE, crop_padded
from smirk3d.datasets.prepare import PrepareSummary, prepare
from smirk3d.datasets.prepare_report import Report, ReportRow, read_report
from smirk3d.datasets.prepared_faces import PrepareOptions, split_of
from smirk3d.datasets.quality import QualityLimits, measure, mirror_error, sharpness
from smirk3d.datasets.shards import Record, read_folder, read_shard
from smirk3d.detection.detector import Detection, Detector
from smirk3d.errors import Smirk3dError, UsageError

SIDE = 160


class Finder:
    """Finds as many faces as the red of the first pixel; fails at 200 and interrupts after `stop_after` calls."""

    def __init__(self, stop_after: int = 10**6) -> None:
        self.calls, self.stop_after = 0, stop_after

    def detect(self, pixels: np.ndarray) -> list[Detection]:
        self.calls += 1
        if self.calls > self.stop_after:
            raise KeyboardInterrupt
        code = int(pixels[0, 0, 0])
        if code == 200:
            raise RuntimeError("oh")
        size = 80.0 if code < 100 else 20.0
        return [detection(face_points((SIDE / 2, SIDE / 2), size / (k + 1))) for k in range(code % 10)]


def _photo(path: Path, code: int = 1, blurred: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(path.name)).integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
    pixels = np.full_like(pixels, 90) if blurred else pixels
    pixels[0, 0, 0] = code
    Image.fromarray(pixels).save(path)


def _options(**changes) -> PrepareOptions:
    return PrepareOptions(**{"shard_size": 4, "limits": QualityLimits(min_face_px=30), **changes})


def _prepare(photos: Path, out: Path, finder: Finder | None = None, resume: bool = False, **changes) -> PrepareSummary:
    return prepare([photos], out, finder or Finder(), _options(**changes), resume=resume)


def _records(out: Path) -> list[Record]:
    return [record for path in sorted(out.glob("*.tar")) for record in read_shard(path)]


def _state(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir()}


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Six people with three photos each."""
    for person in range(6):
        for k in range(3):
            _photo(tmp_path / "in" / f"person {person}" / f"{'x' * (3 * person + k + 1)}.png")
    return tmp_path / "in"


def test_every_photo_has_a_row_and_every_kept_face_is_in_its_shard(tmp_path: Path) -> None:
    photos, out = tmp_path / "in", tmp_path / "out"
    _photo(photos / "good.png")
    _photo(photos / "none.png", code=0)
    _photo(photos / "small.png", code=101)
    _photo(photos / "blurred.png", blurred=True)
    _photo(photos / "two.png", code=2)
    _photo(photos / "breaks.png", code=200)
    (photos / "broken.jpg").write_bytes(b"\xff\xd8 broken")
    summary = _prepare(photos, out)
    rows = {(Path(row.image).name, row.face): row for row in read_report(out / "report.csv")}
    kinds = {name: row.kind for name, row in rows.items()}
    assert kinds == {
        ("good.png", "0"): "kept",
        ("none.png", ""): "no face found",
        ("small.png", "0"): "too small",
        ("blurred.png", "0"): "blurred",
        ("two.png", "0"): "kept",
        ("two.png", "1"): "kept",
        ("breaks.png", ""): "not processed",
        ("broken.jpg", ""): "unreadable",
    }
    assert "broken.jpg" in rows["broken.jpg", ""].status and "internal error" in rows["breaks.png", ""].status
    assert (
        summary.photos == 7
        and summary.kept.total() == 3
        and summary.dropped["unreadable"] == summary.dropped["not processed"] == 1
    )
    in_shards = {(path.name, record.key) for path in out.glob("*.tar") for record in read_shard(path)}
    assert in_shards == {(row.shard, row.key) for row in rows.values() if row.status == "kept"}
    assert float(rows["good.png", "0"].face_px) == pytest.approx(80)
    assert {record.source for record in _records(out)} == {str(photos / "good.png"), str(photos / "two.png")}


def test_no_person_is_in_both_splits(people: Path, tmp_path: Path) -> None:
    summary = _prepare(people, tmp_path / "out", person="folder", val_share=0.5)
    split_people = {
        split: {record.person for record in read_folder(tmp_path / "out", split)} for split in ("train", "val")
    }
    assert all(split_people.values()) and not split_people["train"] & split_people["val"]
    assert set.union(*split_people.values()) == {f"person {k}" for k in range(6)}
    assert summary.kept == Counter(train=3 * len(split_people["train"]), val=3 * len(split_people["val"]))


def test_the_hash_gives_each_split_its_share() -> None:
    names = [f"n{k}" for k in range(2000)]
    assert 150 < sum(split_of(name, 0.1) == "val" for name in names) < 250
    assert {split_of(name, 0.0) for name in names} == {"train"}
    assert all(split_of(name, 0.3) == "val" for name in names if split_of(name, 0.1) == "val")


def test_the_same_photos_give_the_same_bytes(people: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        _prepare(people, tmp_path / name, person="folder", val_share=0.3)
    assert _state(tmp_path / "one") == _state(tmp_path / "two")
    sizes = [len(list(read_shard(path))) for path in sorted((tmp_path / "one").glob("train-*.tar"))]
    assert set(sizes[:-1]) <= {4} and 0 < sizes[-1] <= 4


@pytest.mark.parametrize("stop_after", [2, 5, 11])
def test_resuming_after_an_interruption(people: Path, tmp_path: Path, stop_after: int) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    _prepare(people, whole, val_share=0.3)
    with pytest.raises(KeyboardInterrupt):
        _prepare(people, out, Finder(stop_after), val_share=0.3)
    assert len(_records(out)) == stop_after  # what was ready is in shards
    finder = Finder()
    summary = _prepare(people, out, finder, resume=True, val_share=0.3)
    assert finder.calls == 18 - stop_after and summary.skipped == stop_after
    assert _state(out) == _state(whole)  # the shards that were cut short were filled
    assert _prepare(people, out, Finder(0), resume=True, val_share=0.3).photos == 0
    assert _state(out) == _state(whole)


@pytest.mark.parametrize("place", ["report", "pending", "write_shard"])
def test_an_interruption_between_row_and_shard_loses_no_face(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    _prepare(people, whole)
    original, count = Report.add, 0

    def interrupt(report: Report, rows: list[ReportRow]) -> None:
        nonlocal count
        count += 1
        if count == 6 and place == "report":
            raise KeyboardInterrupt
        original(report, rows)
        if count == 6:
            if place == "write_shard":
                monkeypatch.setattr(shard_writer, "write_shard", lambda *_: 1 / 0)
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Report, "add", interrupt)
        with pytest.raises((KeyboardInterrupt, ZeroDivisionError)):
            _prepare(people, out)
    monkeypatch.undo()
    _prepare(people, out, resume=True)
    assert _state(out) == _state(whole)


def test_rows_are_in_the_order_of_the_photos_after_a_retry(tmp_path: Path) -> None:
    photos, whole, out = tmp_path / "in", tmp_path / "whole", tmp_path / "out"
    for name in ("a", "c"):
        _photo(photos / f"{name}.png")
    (photos / "b.png").write_bytes(b"no photo")
    _prepare(photos, whole)
    _prepare(photos, out)
    _prepare(photos, out, resume=True)
    assert _state(out) == _state(whole)


def test_a_row_that_was_cut_off_takes_the_others_of_its_photo_along(tmp_path: Path) -> None:
    photos, whole, out = tmp_path / "in", tmp_path / "whole", tmp_path / "out"
    _photo(photos / "a.png")
    _photo(photos / "two.png", code=2)
    _prepare(photos, whole, val_share=0.0)
    _prepare(photos, out, val_share=0.0)
    text = (out / "report.csv").read_text()
    (out / "report.csv").write_text(text[:-30])
    _prepare(photos, out, resume=True, val_share=0.0)
    assert _state(out) == _state(whole)


@pytest.mark.parametrize("name", ["report.csv", "prepare.json", "train-000000.tar"])
def test_nothing_is_written_through_a_link(people: Path, tmp_path: Path, name: str) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    out.mkdir()
    (out / name).symlink_to(elsewhere)
    with pytest.raises(Smirk3dError, match=f"{name}: is a symbolic link; remove it"):
        _prepare(people, out)
    assert not elsewhere.exists()


def test_what_failed_is_tried_again(tmp_path: Path) -> None:
    photos, out = tmp_path / "in", tmp_path / "out"
    for name, code in (("good", 1), ("breaks", 200), ("none", 0)):
        _photo(photos / f"{name}.png", code=code)
    (photos / "late.png").write_bytes(b"not copied yet")
    _prepare(photos, out)
    _photo(photos / "breaks.png")  # as if the program failed the first time only
    _photo(photos / "late.png")
    finder = Finder()
    summary = _prepare(photos, out, finder, resume=True)
    assert summary.skipped == 2 and finder.calls == 2 and summary.kept.total() == 2
    statuses = {Path(row.image).stem: row.kind for row in read_report(out / "report.csv")}
    assert statuses == {"good": "kept", "breaks": "kept", "late": "kept", "none": "no face found"}


def test_a_killed_run_loses_only_what_was_in_memory(people: Path, tmp_path: Path) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    _prepare(people, whole, val_share=0.0)
    out.mkdir()
    # As a kill leaves it: one shard, rows of two, the last row torn.
    text = (whole / "report.csv").read_text().splitlines(keepends=True)
    (out / "report.csv").write_text("".join(text[:7]) + text[7][:20])
    for name in ("train-000000.tar", "prepare.json"):
        (out / name).write_bytes((whole / name).read_bytes())
    finder = Finder()
    summary = _prepare(people, out, finder, resume=True, val_share=0.0)
    assert summary.skipped == 4 and finder.calls == 14
    assert _state(out) == _state(whole)


def test_folders_with_other_runs_are_refused(people: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    _prepare(people, out)
    before = _state(out)
    with pytest.raises(UsageError, match="add --resume"):
        _prepare(people, out)
    with pytest.raises(UsageError, match="other options"):
        _prepare(people, out, resume=True, val_share=0.5)
    (out / "report.csv").write_text("a,b\n")
    with pytest.raises(Smirk3dError, match="not a report"):
        _prepare(people, out, resume=True)
    assert {name: before[name] for name in before if name != "report.csv"}.items() <= _state(out).items()


def test_wrong_options() -> None:
    for wrong in ({"shard_size": 0}, {"val_share": 1.0}, {"max_side_px": 0}):
        with pytest.raises(UsageError):
            _options(**wrong)


def test_the_cut_is_generous_and_landmarks_point_at_the_same_pixels() -> None:
    y, x = np.mgrid[:600, :800]
    ramp = np.stack([x * 255 / 800, y * 255 / 600, np.full_like(x, 128)], axis=2).astype(np.uint8)
    points = face_points((400, 300), 100)
    for most, side in ((512, 250), (100, 100)):
        cut = crop_padded(ramp, points, most)
        assert max(cut.size_px) == pytest.approx(side, abs=1) and PADDED_SCALE == 2.5
        with Image.open(io.BytesIO(cut.jpeg)) as picture:
            column, row = (np.clip(cut.landmarks_px, 0, side - 1)).astype(int).T
            red, green = np.asarray(picture)[row, column, :2].T / 255.0
        # A pixel holds the position of its left side, rounded down to a 255th of the width: 2 px less on average.
        assert (red * 800 - points[:, 0]).mean() == pytest.approx(-2.07, abs=1)
        assert (green * 600 - points[:, 1]).mean() == pytest.approx(-1.68, abs=1)
        np.testing.assert_allclose(red * 800, points[:, 0], atol=12)
        np.testing.assert_allclose(green * 600, points[:, 1], atol=12)
    edge = crop_padded(ramp, face_points((20, 300), 100))
    assert edge.size_px[0] < edge.size_px[1] and edge.landmarks_px[:, 0].min() < 0
    with pytest.raises(ValueError, match="outside"):
        crop_padded(ramp, face_points((-500, 300), 100))


def test_quality_in_numbers() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    box = np.array([36.0, 36.0, 164.0, 164.0])  # 128 pixels: not resized
    grey = np.asarray(Image.fromarray(noise).convert("L"), dtype=float)[36:164, 36:164]
    laplacian = sum(np.roll(grey, shift, axis) for shift in (1, -1) for axis in (0, 1)) - 4 * grey
    assert sharpness(noise, box) == pytest.approx(laplacian[1:-1, 1:-1].var(), rel=1e-5)
    assert sharpness(noise, box + 500) == 0 and sharpness(np.full_like(noise, 80), box) == 0
    leaning = face_points((100, 100), 80)
    leaning[263] = leaning[33] + [20, 20]
    found = measure(noise, detection(leaning))
    assert found.roll_deg == pytest.approx(45) and found.face_px == pytest.approx(80) and found.inside == 1
    half_out = measure(noise, detection(face_points((0, 100), 80)))
    assert half_out.inside == pytest.approx(0.5, abs=0.1)
    limits = QualityLimits()
    assert found.defect(limits) is None and half_out.defect(limits) is not None
    assert "sideways" in str(
        measure(noise, detection(leaning[:, ::-1] * [-1, 1] + [200, 0])).defect(QualityLimits(max_roll_deg=30))
    )


def test_a_real_photo_and_its_mirror_image(tmp_path: Path) -> None:
    photo, out = astronaut(), tmp_path / "out"
    Image.fromarray(photo).save(tmp_path / "a.png")
    with Detector() as detector:
        (face,) = detector.detect(photo)
        assert 0 < mirror_error(photo, face, detector.detect) < 0.03
        limits = QualityLimits(max_mirror_error=0.05)
        prepare([tmp_path / "a.png"], out, detector, PrepareOptions(limits=limits, val_share=0.0, max_side_px=150))
        (record,) = _records(out)
        with Image.open(io.BytesIO(record.jpeg)) as picture:
            (again,) = detector.detect(np.asarray(picture))
    assert np.linalg.norm(again.landmarks_px - record.landmarks_px, axis=1).mean() < 1.5
    assert record.depth_px is not None and np.polyfit(record.depth_px, again.depth, 1)[0] == pytest.approx(1, abs=0.1)
    np.testing.assert_allclose(record.scores, face.blendshape_scores, atol=1e-6)
    assert mirror_error(photo, face, lambda _: []) == float("inf")
    assert read_report(out / "report.csv")[0].mirror_error != ""
