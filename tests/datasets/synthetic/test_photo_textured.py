from __future__ import annotations

from pathlib import Path

import pytest
import torch

from smirk3d.datasets.face_dataset import FaceSet
from smirk3d.datasets.pseudo_targets import TargetTable
from smirk3d.datasets.synthetic import photo_textured
from smirk3d.datasets.synthetic.photo_textured import PhotoTexturedFaces, changed_expression, nearly_neutral
from smirk3d.errors import Smirk3dError
from smirk3d.geometry.camera import project_orthographic
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams

KEYS = ("neutral", "shouting", "sideways", "unfitted")


def table_of(head: HeadModel) -> TargetTable:
    expression, pose = torch.zeros(3, len(ARKIT_NAMES)), torch.zeros(3, 3)
    expression[1, ARKIT_NAMES.index("jawOpen")] = 0.5
    pose[2, 1] = 1.0
    params = FaceParams(shape=torch.zeros(3, head.n_shape), expression=expression, pose=pose)
    return TargetTable(KEYS[:3], params, torch.ones(3), ARKIT_NAMES)


def faces_of(head: HeadModel, jpeg: bytes) -> FaceSet:
    camera = torch.tensor([[8.0, 0.0, 0.0]])
    points = project_orthographic(head(table_of(head).params).landmarks("mediapipe"), camera)[..., :2]
    pixels = (torch.cat([points, points[:1]]) + 1) * 64
    unknown = torch.full((4, 17, 2), torch.nan)
    return FaceSet(
        KEYS, (jpeg,) * 4, pixels.numpy(), torch.full((4, 2), 128).numpy(), torch.arange(4).numpy(), unknown.numpy()
    )


@pytest.fixture
def jpeg(tmp_path: Path) -> bytes:
    from PIL import Image

    Image.linear_gradient("L").resize((128, 128)).convert("RGB").save(tmp_path / "a.jpg")
    return (tmp_path / "a.jpg").read_bytes()


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photo_textured, "SHARD", 4)


def test_only_nearly_neutral_frontal_fitted_photos_are_used(open_head: HeadModel) -> None:
    assert nearly_neutral(table_of(open_head), KEYS).tolist() == [0]


def test_pairs_differ_by_the_change_and_are_kept_on_disk(open_head: HeadModel, jpeg: bytes, tmp_path: Path) -> None:
    def pairs():
        faces = PhotoTexturedFaces(open_head, faces_of(open_head, jpeg), table_of(open_head), 4, 1, 64, folder=tmp_path)
        return faces.pairs(torch.arange(4))

    before, after = pairs()
    assert before.target is not None and after.target is not None
    assert before.target.expression is not None and after.target.expression is not None
    assert (before.target.expression == 0).all() and (after.target.expression.amax(1) > 0.05).all()
    assert before.target.pose is not None and after.target.pose is not None
    assert torch.equal(before.target.pose, after.target.pose)
    for batch in (before, after):
        assert batch.target is not None and batch.target.camera is not None
        points = project_orthographic(open_head(batch.target).landmarks("mediapipe"), batch.target.camera)[..., :2]
        assert (points - batch.landmarks_ndc).norm(dim=2).mean() < 0.03
    files = sorted(tmp_path.glob("pairs_*.npy"))
    again = pairs()
    assert len(files) == 2 and torch.equal(again[1].image, after.image)
    files[0].write_bytes(b"cut")
    with pytest.raises(Smirk3dError, match="broken"):
        pairs()


def test_without_a_nearly_neutral_photo_there_is_an_error(open_head: HeadModel, jpeg: bytes) -> None:
    table = table_of(open_head)
    table = TargetTable(table.keys, table.params.replace(expression=torch.ones(3, 52)), table.weight, ARKIT_NAMES)
    with pytest.raises(Smirk3dError, match="nearly neutral"):
        PhotoTexturedFaces(open_head, faces_of(open_head, jpeg), table, 4, 1)


def test_changes_keep_weights_in_range_and_reach_every_blendshape() -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = torch.stack([changed_expression(torch.full((52,), 0.1), generator) for _ in range(600)])
    assert drawn.min() >= 0 and drawn.max() <= 1
    assert (drawn.amax(0) > 0.5).all()
