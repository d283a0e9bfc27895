from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import roma
import torch
from PIL import Image

from smirk3d.datasets.synthetic import rendered_faces
from smirk3d.datasets.synthetic.degradation import degraded
from smirk3d.datasets.synthetic.rendered_faces import N_LANDMARKS, RenderAugmentation, RenderedFaces, fit_camera
from smirk3d.datasets.synthetic.scene_sampling import SampleRanges
from smirk3d.errors import Smirk3dError
from smirk3d.geometry.camera import project_orthographic
from smirk3d.head.arkit import ARKIT_MIRROR
from smirk3d.head.model import HeadModel
from smirk3d.render.appearance import randomization
from smirk3d.render.appearance.baked_face import BakedFaceRenderer

SIZE = 64
CLEAN = RenderAugmentation(weak=0, hard_light=0, grey=0, coarse=0, jpeg=0, occluded=0, cut=0)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendered_faces, "SHARD", 12)


@pytest.fixture
def make(open_head: HeadModel, baked_renderer: BakedFaceRenderer):
    def build(count: int = 12, seed: int = 3, **options) -> RenderedFaces:
        faces = RenderedFaces(open_head, count, seed, SIZE, **options)
        faces._renderer = baked_renderer  # baked once for all tests
        return faces

    return build


def test_same_arguments_give_the_same_pictures_in_any_order(make) -> None:
    forwards, backwards = make(24), make(24)
    late = backwards.batch(torch.tensor([20]))
    early = backwards.batch(torch.tensor([2]))
    both = forwards.batch(torch.tensor([2, 20]))
    assert torch.equal(both.image, torch.cat([early.image, late.image]))
    assert torch.equal(both.landmarks_ndc, torch.cat([early.landmarks_ndc, late.landmarks_ndc]))
    assert not torch.equal(both.image[0], make(seed=4).batch(torch.tensor([2])).image[0])
    assert not torch.equal(make(24).batch(torch.tensor([14])).image[0], both.image[0])


def test_longer_set_starts_with_the_shorter_one(make) -> None:
    index = torch.arange(5)
    assert torch.equal(make(5).batch(index).image, make(24).batch(index).image)


def test_batch_has_its_shapes_and_ranges(make, open_head: HeadModel) -> None:
    batch = make().batch(torch.tensor([7, 1, 1]))
    assert batch.image.shape == (3, 3, SIZE, SIZE) and 0 <= batch.image.min() < batch.image.max() <= 1
    assert batch.landmarks_ndc.shape == (3, 478, 2) and batch.landmark_weight.shape == (3, 478)
    assert batch.person.tolist() == [7, 1, 1] and batch.target_weight.tolist() == [1, 1, 1]
    sizes = {name: tuple(value.shape) for name, value in batch.target.items()}
    assert sizes == {"shape": (3, open_head.n_shape), "expression": (3, 52), "pose": (3, 3), "camera": (3, 3)}
    assert all(value.dtype == torch.float32 for _, value in batch.target.items())
    assert torch.equal(batch.image[1], batch.image[2])


def test_target_projects_to_the_landmarks(make, open_head: HeadModel) -> None:
    """The encoder's own way from parameters to points of the crop, independent of the rendering."""
    far = make(ranges=SampleRanges(distance_m=(5.0, 8.0))).batch(torch.arange(12))
    near = make(ranges=SampleRanges(distance_m=(0.4, 0.5))).batch(torch.arange(12))
    for batch, tolerance in ((far, 0.02), (near, 0.12)):
        points = open_head(batch.target).landmarks("mediapipe")
        projected = project_orthographic(points, batch.target.camera)[..., :2]
        assert (projected - batch.landmarks_ndc).norm(dim=-1).mean() < tolerance


def test_crop_holds_the_face(make) -> None:
    points = make(variation=replace(CLEAN, crop_scale=(1.5, 1.5), crop_shift=0.0)).batch(torch.arange(12)).landmarks_ndc
    low, high = points.amin(1), points.amax(1)
    torch.testing.assert_close(low + high, torch.zeros(12, 2), atol=1e-3, rtol=0)
    # Half a pixel more is visible at each side, and sides are whole pixels of the photo.
    torch.testing.assert_close((high - low).mean(1), torch.full((12,), 2 / 1.5 * (SIZE - 1) / SIZE), atol=0.02, rtol=0)


def test_picture_shows_the_head_where_the_landmarks_are(make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a green background, landmarks of the face lie on skin and the crop's corners do not."""
    green = torch.tensor([0.0, 1.0, 0.0])[:, None, None].expand(3, SIZE, SIZE)
    monkeypatch.setattr(rendered_faces, "random_background", lambda size, generator: green)
    monkeypatch.setattr(randomization, "simulate_sensor", lambda image, generator: image)
    batch = make(variation=replace(CLEAN, crop_scale=(2.0, 2.0))).batch(torch.arange(12))
    is_green = (batch.image[:, 1] - batch.image[:, 0]) > 0.6
    cell = ((batch.landmarks_ndc + 1) / 2 * SIZE).long()
    on_green = is_green[torch.arange(12)[:, None], cell[..., 1], cell[..., 0]]
    assert on_green.float().mean() < 0.03
    assert is_green[:, 0, [0, -1]].float().mean() > 0.9


def test_camera_of_an_orthographic_picture_is_found(open_head: HeadModel) -> None:
    camera = torch.tensor([[7.0, 0.02, -0.05], [5.0, -0.01, 0.1]])
    points = open_head.v_template[::50].expand(2, -1, 3)
    torch.testing.assert_close(fit_camera(points, project_orthographic(points, camera)[..., :2]), camera)


def test_poses_stay_in_their_ranges(make) -> None:
    pose = make(ranges=SampleRanges(yaw_deg=10, pitch_deg=0, roll_deg=0)).batch(torch.arange(12)).target.pose
    turned = roma.rotvec_to_rotmat(pose) @ torch.tensor([0.0, 0.0, 1.0])
    assert turned[:, 1].abs().max() < 1e-6
    assert 0.02 < torch.rad2deg(turned[:, 0].asin()).abs().max() / 10 <= 1


def test_kinds_tell_the_expressions(make) -> None:
    faces = make()
    weights = faces.batch(torch.arange(12)).target.expression
    mirrored = weights[:, list(ARKIT_MIRROR)]
    for kind, row, other in zip(faces.kinds, weights, mirrored):
        assert (kind == "neutral") == (not row.any())
        assert kind != "one_sided" or not torch.equal(row, other)
    assert set(faces.kinds) == {"neutral", "single", "one_sided", "combination"}
    assert weights.min() >= 0 and weights.max() <= 1


def test_weak_expressions_are_weaker(make) -> None:
    strong, weak = (
        make(variation=replace(CLEAN, weak=share)).batch(torch.arange(12)).target.expression for share in (0.0, 1.0)
    )
    active = strong > 0
    assert torch.equal(active, weak > 0) and (weak[active] < strong[active]).all()


@pytest.mark.parametrize("fault", ["grey", "coarse", "jpeg", "occluded", "cut"])
def test_fault_changes_the_picture(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(randomization, "simulate_sensor", lambda image, generator: image)
    image = torch.rand(3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))

    across = np.linspace(0.2 * SIZE, 0.8 * SIZE, N_LANDMARKS)
    landmarks_px = np.stack([across, across], axis=1)

    def photographed(variation: RenderAugmentation) -> np.ndarray:
        return degraded(image, landmarks_px, variation, torch.Generator().manual_seed(1)).astype(int)

    changed = photographed(replace(CLEAN, **{fault: 1.0}))
    assert (changed != photographed(CLEAN)).any(), fault
    if fault == "grey":
        assert (changed == changed[:1]).all()
    if fault == "cut":
        sides = (changed[:, 0], changed[:, -1], changed[:, :, 0], changed[:, :, -1])
        assert sum((side == 0).all() for side in sides) == 1


def test_pictures_are_kept(make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = make(folder=tmp_path)
    assert list(first.prepare()) == [12]
    monkeypatch.setattr(RenderedFaces, "_make", lambda self, number: pytest.fail("made again"))
    again = make(folder=tmp_path).batch(torch.arange(12))
    assert torch.equal(again.image, first.batch(torch.arange(12)).image)
    assert again.target.camera is not None and not list(tmp_path.glob("partial_*"))


def test_other_arguments_do_not_share_files(make, tmp_path: Path) -> None:
    for options in ({}, {"seed": 9}, {"variation": CLEAN}, {"ranges": SampleRanges(yaw_deg=1)}):
        list(make(folder=tmp_path, **options).prepare())
    assert len(list(tmp_path.glob("*_pixels.npy"))) == 4


def test_broken_file_is_named(make, tmp_path: Path) -> None:
    list(make(folder=tmp_path).prepare())
    next(tmp_path.glob("*_pixels.npy")).write_bytes(b"\x93NUMPY broken")
    with pytest.raises(Smirk3dError, match=r"_pixels\.npy: broken .* delete it"):
        make(folder=tmp_path).batch(torch.tensor([0]))


def test_photos_stand_behind_heads(make, tmp_path: Path) -> None:
    Image.new("RGB", (40, 30), (0, 255, 0)).save(tmp_path / "green.png")
    batch = make(backgrounds=tmp_path, variation=replace(CLEAN, crop_scale=(2.0, 2.0))).batch(torch.arange(12))
    corner = batch.image[:, :, 0, 0]
    is_green = (corner[:, 1] - corner[:, [0, 2]].amax(1)) > 0.5
    assert 1 <= is_green.sum() < 12


def test_wrong_arguments_are_refused(make, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="count"):
        make(0)
    with pytest.raises(Smirk3dError, match="no photos with"):
        make(backgrounds=tmp_path)
    for index in (-1, 12):
        with pytest.raises(IndexError, match="0 to 11"):
            make().batch(torch.tensor([0, index]))


def test_strength_moves_the_face_and_not_the_truth(make) -> None:
    few = torch.arange(12)
    usual, varied = (make(variation=RenderAugmentation(strength=strength)).batch(few) for strength in (0.0, 0.5))
    assert usual.target is not None and varied.target is not None
    assert usual.target.expression is not None and varied.target.expression is not None
    torch.testing.assert_close(varied.target.expression, usual.target.expression)
    assert (varied.landmarks_ndc - usual.landmarks_ndc).abs().max() > 0.01


def test_kinds_are_drawn_as_configured(make) -> None:
    faces = make(8, variation=RenderAugmentation(kinds=(("neutral", 1),)))
    target = faces.batch(torch.arange(8)).target
    assert target is not None and target.expression is not None
    assert faces.kinds == ("neutral",) * 8 and (target.expression == 0).all()


def test_randomized_heads_change_the_image_and_not_the_expression(make) -> None:
    few = torch.arange(12)
    usual, randomized = (
        make(variation=RenderAugmentation(domain_randomization=share)).batch(few) for share in (0.0, 1.0)
    )
    assert usual.target is not None and randomized.target is not None
    for name in ("shape", "expression", "pose"):
        assert torch.equal(getattr(randomized.target, name), getattr(usual.target, name))
    assert (randomized.landmarks_ndc - usual.landmarks_ndc).abs().amax((1, 2)).min() > 0.005
    assert (randomized.image - usual.image).abs().mean() > 0.02


def test_a_full_disk_keeps_the_pictures_in_memory(
    make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(rendered_faces.np, "save", full)
    kept = make(folder=tmp_path / "cache").batch(torch.arange(3))
    assert torch.equal(kept.image, make().batch(torch.arange(3)).image)
    assert "No space left on device" in caplog.text and not list((tmp_path / "cache").iterdir())


@pytest.mark.parametrize("values", [np.zeros((2, 3)), np.zeros((12, 3, SIZE, SIZE))])
def test_files_of_another_set_are_named(make, values: np.ndarray, tmp_path: Path) -> None:
    make(folder=tmp_path).batch(torch.arange(1))
    (path,) = tmp_path.glob("*_pixels.npy")
    np.save(path, values)
    with pytest.raises(Smirk3dError, match=rf"{path.name}: broken \(float64 of"):
        make(folder=tmp_path).batch(torch.arange(1))


def test_heads_wear_the_appearance_model(make) -> None:
    plain = make(variation=replace(CLEAN, textured=0.0)).batch(torch.arange(6))
    textured = make(variation=replace(CLEAN, textured=1.0)).batch(torch.arange(6))
    assert torch.equal(plain.landmarks_ndc, textured.landmarks_ndc)
    assert (plain.image - textured.image).abs().mean() > 0.02


def test_the_fingerprint_is_that_of_the_images(make) -> None:
    assert make(24).fingerprint == make(12).fingerprint != make(12, seed=4).fingerprint
    assert make(12, variation=CLEAN).fingerprint != make(12).fingerprint
