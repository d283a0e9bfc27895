"""FAN's contours: assignment to faces, shards, crops and the landmark loss."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from training_context import learners, seeded, small_batch, small_context, small_head, small_networks
from training_faces import detection, face_points, record

from smirk3d.datasets.face_dataset import FaceSet, collate
from smirk3d.datasets.fan_contour import KNOWN, NO_FILE, OTHER_FACE, UNUSABLE, FanLandmarks, read_fan
from smirk3d.datasets.fan_network import FanInPhoto, load_fan
from smirk3d.datasets.prepare import prepare
from smirk3d.datasets.prepared_faces import PrepareOptions
from smirk3d.datasets.quality import QualityLimits
from smirk3d.datasets.shards import read_shard, write_shard
from smirk3d.detection.detector import Detection
from smirk3d.errors import Smirk3dError
from smirk3d.geometry.camera import project_orthographic
from smirk3d.head.landmark_indices import IBUG68
from smirk3d.train.loss_config import LossWeights
from smirk3d.train.losses.losses import landmark_loss
from smirk3d.train.networks import Networks
from smirk3d.train.recipes.analysis_by_synthesis import reconstruction_step

WIDTH, HEIGHT = 200, 160
POINTS = face_points((90, 80), 80.0)
FAR = face_points((30, 40), 40.0, seed=1)


class Finder:
    """Finds the same face in every photo."""

    def detect(self, pixels: np.ndarray) -> list[Detection]:
        return [detection(POINTS)]


def _fan_points(landmarks_px: np.ndarray, seed: int = 0) -> np.ndarray:
    """What FAN might see of a face: (68, 2), a little off MediaPipe's points."""
    noise = np.random.default_rng(seed).normal(0, 0.02 * np.ptp(landmarks_px), (68, 2))
    return (landmarks_px[list(IBUG68)] + noise).astype(np.float32)


def _photo(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)).save(path)


def _saved(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)
    return path


def test_the_face_with_the_nearest_points_is_taken():
    near, far = _fan_points(POINTS), _fan_points(FAR)
    for faces, place in (([far, near], 1), ([near, far], 0), ([near], 0)):
        contour, state = FanLandmarks(np.array(faces)).contour(POINTS)
        assert contour is not None and state == KNOWN
        np.testing.assert_array_equal(contour, faces[place][:17])
    assert FanLandmarks(np.array([far])).contour(POINTS) == (None, OTHER_FACE)
    assert FanLandmarks(np.zeros((0, 68, 2))).contour(POINTS) == (None, OTHER_FACE)


def test_files_of_other_layouts_are_told_and_not_used(tmp_path):
    notes: list[str] = []
    bad = {
        "three": np.zeros((68, 3)),
        "few": np.zeros((2, 67, 2)),
        "many": np.zeros((1, 1, 68, 2)),
        "text": np.full((68, 2), "a"),
        "nan": np.full((68, 2), np.nan),
        "object": np.array([None] * 3),
        "record": np.zeros(3, dtype=[("x", "f4")]),
    }
    for stem, array in bad.items():
        _saved(tmp_path / f"{stem}.npy", array)
    (tmp_path / "damaged.npy").write_bytes(b"\x93NUMPY\x01\x00no")
    (tmp_path / "short.npy").write_bytes(_saved(tmp_path / "whole.npy", np.zeros((68, 2))).read_bytes()[:200])
    (tmp_path / "empty.npy").write_bytes(b"")
    np.savez(tmp_path / "archive", a=np.zeros((68, 2)))
    (tmp_path / "archive.npz").rename(tmp_path / "archive.npy")
    (tmp_path / "text.npy").with_name("pickle.npy").write_bytes(b"cos\nsystem\n(S'touch /nothing'\ntR.")
    stems = [*bad, "damaged", "short", "empty", "archive", "pickle"]
    for stem in stems:
        found = read_fan(tmp_path, stem, notes.append)
        assert found.missing == UNUSABLE and found.contour(POINTS) == (None, UNUSABLE), stem
    assert len(notes) == len(stems) and all("\n" not in note and ".npy: no contour (" in note for note in notes)
    assert "few.npy: no contour (shape (2, 67, 2) of float64); give a .npy of (68, 2)" in notes[1]
    assert read_fan(tmp_path, "a/b", notes.append).missing == NO_FILE and len(notes) == len(stems)
    for stem, array in (("nobody", np.zeros((0, 68, 2))), ("nobody2", np.zeros(0))):  # what FAN's tools write then
        _saved(tmp_path / f"{stem}.npy", array)
        assert read_fan(tmp_path, stem, notes.append).contour(POINTS)[1] == OTHER_FACE
    _saved(tmp_path / "sub" / "whole.npy", _fan_points(POINTS).astype(np.float64))
    assert read_fan(tmp_path, "sub/whole", notes.append).points_px.shape == (1, 68, 2) and len(notes) == len(stems)


def _prepared(photos: Path, out: Path, contours: Path | None, notes: list[str] | None = None):
    class Silent:
        def __init__(self, total: int) -> None: ...
        def __enter__(self):
            return self

        def __exit__(self, *exc_info: object) -> None: ...
        def advance(self) -> None: ...
        def note(self, text: str) -> None:
            assert notes is not None
            notes.append(text)

    options = PrepareOptions(limits=QualityLimits(min_face_px=30), val_share=0.0, max_side_px=100)
    return prepare([photos], out, Finder(), options, contours=contours, open_progress=Silent)


def test_contours_come_from_the_file_beside_their_photo_into_the_shard(tmp_path):
    photos, contours, notes = tmp_path / "in", tmp_path / "fan", []
    for name in ("a/one.png", "b/one.png", "two.jpg", "two.png", "far.png", "bad.png"):
        _photo(photos / name)
    known = {"a/one": 0, "two.jpg": 1, "two.png": 2}  # two photos share a stem
    for stem, seed in known.items():
        _saved(contours / f"{stem}.npy", np.stack([_fan_points(FAR), _fan_points(POINTS, seed)]))
    _saved(contours / "far.npy", _fan_points(FAR))
    _saved(contours / "bad.npy", np.zeros(5))
    summary = _prepared(photos, tmp_path / "out", contours, notes)
    assert dict(summary.contours) == {KNOWN: 3, NO_FILE: 1, OTHER_FACE: 1, UNUSABLE: 1}
    assert len(notes) == 1 and "bad.npy" in notes[0]
    records = {
        Path(each.source).relative_to(photos).as_posix(): each for each in read_shard(tmp_path / "out/train-000000.tar")
    }
    assert len(records) == 6
    assert {name for name, each in records.items() if each.contour_px is not None} == {
        "a/one.png",
        "two.jpg",
        "two.png",
    }
    for name, stem in (("a/one.png", "a/one"), ("two.jpg", "two.jpg"), ("two.png", "two.png")):
        each = records[name]
        assert each.contour_px is not None and each.contour_px.dtype == np.float32
        # Where the landmarks went, per axis.
        wanted = _fan_points(POINTS, known[stem])[:17]
        for axis in range(2):
            slope, offset = np.polyfit(POINTS[:, axis], each.landmarks_px[:, axis], 1)
            np.testing.assert_allclose(each.contour_px[:, axis], slope * wanted[:, axis] + offset, atol=1e-3)
    plain = _prepared(photos, tmp_path / "plain", None)
    assert not plain.contours and all(
        each.contour_px is None for each in read_shard(tmp_path / "plain/train-000000.tar")
    )


def test_shards_hold_contours_and_those_without_are_as_they_were(tmp_path):
    contour = np.random.default_rng(0).normal(size=(17, 2)).astype(np.float32)
    faces = [replace(record("a"), contour_px=contour), record("b", seed=1)]
    write_shard(tmp_path / "new.tar", faces)
    first, second = read_shard(tmp_path / "new.tar")
    assert first.contour_px is not None and second.contour_px is None
    np.testing.assert_array_equal(first.contour_px, contour)
    # A reader that knows nothing of contours passes the further member over; what else is there is the same.
    write_shard(tmp_path / "old.tar", [record("a"), record("b", seed=1)])
    member = io.BytesIO()
    np.save(member, contour.astype("<f4"))
    size = 512 + -(-len(member.getvalue()) // 512) * 512
    new, old = (tmp_path / "new.tar").read_bytes(), (tmp_path / "old.tar").read_bytes()
    start = new.index(b"a.contour.npy")
    assert old.rstrip(b"\0") == (new[:start] + new[start + size :]).rstrip(b"\0")
    with pytest.raises(Smirk3dError, match="a: its contour is not 17 finite points"):
        write_shard(tmp_path / "bad.tar", [replace(record("a"), contour_px=contour[:9])])
        list(read_shard(tmp_path / "bad.tar"))


def test_crops_show_contours_where_they_show_landmarks():
    known = record("a")
    outline = known.landmarks_px[list(IBUG68[:17])]
    faces = FaceSet.from_records([replace(known, contour_px=outline), record("b", seed=1)])
    batch = collate(faces, np.array([0, 1, 0]), np.array([1.3, 1.4, 1.7]), 48)
    assert batch.contour_weight.tolist() == [1, 0, 1] and batch.contour_ndc.isfinite().all()
    wanted = batch.landmarks_ndc[:, list(IBUG68[:17])]
    torch.testing.assert_close(batch.contour_ndc[[0, 2]], wanted[[0, 2]])
    assert batch.take(torch.tensor([2, 1])).contour_weight.tolist() == [1, 0]
    assert batch.to("cpu").contour_ndc.equal(batch.contour_ndc)


def _scene(head, **changes):
    fields = {"trainable": ("pose", "shape", "expression"), "losses": LossWeights(landmark=100), "cycle": None}
    return small_context(head, name="pretrain", **fields | changes)


def test_the_loss_is_one_mean_over_all_points_and_a_batch_without_is_as_it_was():
    head, batch = small_head(), small_batch(small_head(), 4)
    networks = Networks(small_networks(head).encoder.eval())
    weight, contour = torch.tensor([0.0, 1.0, 0.5, 0.0]), torch.rand(4, 17, 2, generator=seeded(2))
    known = replace(batch, contour_ndc=contour, contour_weight=weight)
    found = reconstruction_step(networks, _scene(head), known, seeded())
    params = found.params
    assert params.camera is not None
    all_points = [
        project_orthographic(head(params).landmarks(n), params.camera)[..., :2] for n in ("mediapipe", "ibug68")
    ]
    points = (all_points[0] - batch.landmarks_ndc).square().mean(-1)
    outline = (all_points[1][:, :17] - contour).square().mean(-1)
    wanted = (points.sum(1) + weight * outline.sum(1)) / (478 + 17 * weight)
    torch.testing.assert_close(found.terms["landmark"], wanted)
    found.loss.backward()
    assert learners(networks) == {"pose", "shape", "expression"}
    without = reconstruction_step(networks, _scene(head), replace(batch, contour_ndc=contour), seeded())
    assert without.terms["landmark"].equal(landmark_loss(all_points[0], batch.landmarks_ndc, batch.landmark_weight))


class FanStub:
    """Answers with the points of the face whose box it gets."""

    def __init__(self, **options: object) -> None:
        self.options, self.boxes = options, []

    def get_landmarks_from_image(self, image_or_path, detected_faces):
        self.boxes += detected_faces
        assert all(box.dtype == np.float64 for box in detected_faces)  # the package refuses others
        return [_fan_points(POINTS)]


def test_fan_looks_into_the_box_of_the_detected_face(tmp_path):
    photos = tmp_path / "in"
    _photo(photos / "one.png")
    (photos / "broken.jpg").write_bytes(b"\xff\xd8 broken")
    network = FanStub()
    summary = _prepared(photos, tmp_path / "out", network, [])
    assert dict(summary.contours) == {KNOWN: 1}
    ((x0, y0, x1, y1),) = network.boxes
    np.testing.assert_allclose([x0, y0, x1, y1], [*POINTS.min(axis=0), *POINTS.max(axis=0)], atol=1e-4)
    (face,) = read_shard(tmp_path / "out/train-000000.tar")
    assert face.contour_px is not None


def test_fan_that_finds_another_face_is_told():
    found, state = FanInPhoto(FanStub(), np.zeros((HEIGHT, WIDTH, 3), np.uint8)).contour(FAR)
    assert found is None and state == OTHER_FACE


def test_fan_without_its_package_or_weights_is_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "face_alignment", None)
    with pytest.raises(Smirk3dError, match=r"pip install smirk3d\[fan\]"):
        load_fan()
    package, api = ModuleType("face_alignment"), ModuleType("face_alignment.api")
    api.models_urls = {"2DFAN-4": "https://example.org/2DFAN4-1.pth.tar"}  # type: ignore[attr-defined]
    package.FaceAlignment = lambda kind, **options: FanStub(kind=kind, **options)  # type: ignore[attr-defined]
    package.LandmarksType = SimpleNamespace(TWO_D=1)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "face_alignment", package)
    monkeypatch.setitem(sys.modules, "face_alignment.api", api)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(Smirk3dError, match=r"download .* into"):
        load_fan()
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/2DFAN4-1.pth.tar").write_bytes(b"")
    assert load_fan().options["face_detector"] == "folder"  # type: ignore[attr-defined]
