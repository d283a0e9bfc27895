"""Targets that a teacher has a share in."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from smirk3d.datasets.shards import Record, write_shard
from smirk3d.errors import Smirk3dError
from smirk3d.fer.network import ExpressionNetwork
from smirk3d.train.expression_vector.data import Windows
from smirk3d.train.expression_vector.distillation import distilled, joined, unlabelled_windows


@pytest.fixture(scope="module")
def teacher() -> ExpressionNetwork:
    """An untrained network, for inference."""
    torch.manual_seed(0)
    return ExpressionNetwork().eval().requires_grad_(False)


def _faces(count: int = 6) -> Windows:
    pixels = torch.randint(256, (count, 48, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return Windows(pixels, torch.eye(8)[:count])


def test_the_share_mixes_votes_and_probabilities(teacher: ExpressionNetwork) -> None:
    faces = _faces()
    votes, mixed, predicted = (distilled(teacher, faces, share).targets for share in (0.0, 0.25, 1.0))
    assert torch.equal(votes, faces.targets)
    assert torch.allclose(mixed, 0.75 * votes + 0.25 * predicted, atol=1e-6)
    assert torch.allclose(predicted, teacher.probabilities(teacher.predict(faces.pixels).logits), atol=1e-5)


def test_photos_without_labels_get_what_the_teacher_predicts(teacher: ExpressionNetwork, tmp_path: Path) -> None:
    points = np.random.default_rng(0).uniform(20, 80, (478, 2)).astype(np.float32)
    Image.new("RGB", (100, 100), (120, 90, 70)).save(file := io.BytesIO(), "JPEG")
    record = Record("a", file.getvalue(), points, (100, 100), np.zeros(52, np.float32))
    write_shard(tmp_path / "train-000000.tar", [record])
    windows = unlabelled_windows(teacher, tmp_path)
    assert windows.pixels.shape == (1, 48, 48) and windows.targets.sum() == pytest.approx(1.0, abs=1e-5)
    both = joined(_faces(), windows)
    assert len(both) == 7 and torch.equal(both.targets[6:], windows.targets)
    with pytest.raises(Smirk3dError, match=r"missing"):
        unlabelled_windows(teacher, tmp_path / "missing")
