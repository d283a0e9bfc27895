"""Retargeting between ARKit weights and another head model."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from smirk3d.errors import Smirk3dError
from smirk3d.evaluation.retargeting_accuracy import (
    SurfaceCorrespondence,
    error_result,
    random_weights,
    speed_result,
    tracked_coefficients,
)
from smirk3d.head.arkit import ANTAGONISTS, ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams


def test_random_weights_are_sparse_and_without_antagonists():
    weights = random_weights(200, 0)
    assert weights.shape == (200, 52) and weights.min() >= 0 and weights.max() <= 1
    assert 0.05 < float((weights > 0).float().mean()) < 0.12
    assert all(not (weights[:, one] * weights[:, other]).any() for one, other in ANTAGONISTS)
    assert not weights[:, ARKIT_NAMES.index("tongueOut")].any()
    assert torch.equal(weights, random_weights(200, 0)) and not torch.equal(weights, random_weights(200, 1))


def test_errors_of_active_and_inactive_weights():
    weights = torch.zeros(2, 52)
    weights[:, 0] = 0.5
    found = weights.clone()
    found[:, 0] += 0.2
    found[1, 1] = 0.51
    retargeted = SimpleNamespace(weights=found, residual_mm=torch.tensor([1.0, 3.0]), size_mm=torch.tensor([4.0, 4.0]))
    result = error_result("round_trip", weights, retargeted)  # type: ignore[arg-type]
    assert result.figures["active_error"] == pytest.approx(0.2)
    assert result.figures["inactive_error"] == pytest.approx(0.51 / 102)
    assert (result.figures["residual_mm"], result.figures["max_error"]) == pytest.approx((2, 0.51))
    assert result.blendshapes["error"][0] == pytest.approx(0.2)


def test_speed_is_measured_in_both_directions():
    calls = []
    fake = SimpleNamespace(
        from_arkit=lambda weights: calls.append(("from", len(weights))) or FaceParams(expression=weights),
        to_arkit=lambda params: calls.append(("to", len(params.expression))),
    )
    result = speed_result(fake, 30, 0)  # type: ignore[arg-type]
    assert result.faces == 30 and min(result.figures.values()) >= 0
    assert calls == [("from", 30), ("to", 30), ("from", 30)]


def test_tracked_coefficients_of_the_open_head_itself_are_its_weights(open_head):
    """Every vertex of the open head lies on a corner of one of its triangles."""
    open_head = HeadModel(replace(open_head.data, lid_closure=None, contacts=None))  # the coefficients add up
    faces = open_head.data.faces.numpy()
    face_index = np.zeros(len(open_head.v_template), int)
    barycentric = np.zeros((len(open_head.v_template), 3))
    for corner in range(3):
        face_index[faces[:, corner]] = np.arange(len(faces))
    for corner in range(3):
        barycentric[:, corner] = faces[face_index, corner] == np.arange(len(face_index))
    itself = SurfaceCorrespondence(face_index, barycentric, np.zeros(open_head.n_shape))
    weights = random_weights(4, 0)
    weights[:, [k for k, name in enumerate(ARKIT_NAMES) if name.startswith("eyeLook")]] = 0
    params = tracked_coefficients(itself, open_head, open_head, weights)
    assert params.expression is not None and params.eyes is not None
    expected, found = (open_head(FaceParams(expression=each)).vertices for each in (weights, params.expression))
    assert float((expected - found).norm(dim=-1).mean()) < 5e-5 and not params.eyes.any()


def test_a_broken_correspondence_is_named(tmp_path: Path):
    path = SurfaceCorrespondence.path_of(tmp_path / "model.pkl")
    assert path.name == "model.correspondence.npz"
    np.savez(path, face_index=np.zeros(3))
    with pytest.raises(Smirk3dError, match=r"model\.correspondence\.npz: unreadable \(KeyError\)"):
        SurfaceCorrespondence.read(path)
