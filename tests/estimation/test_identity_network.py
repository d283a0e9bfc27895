"""The network that estimates identities, its file, and what the fit makes of its estimates."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from smirk3d.detection.detector import Detection
from smirk3d.errors import Smirk3dError
from smirk3d.estimation.estimator import FaceObservation
from smirk3d.estimation.identity_network import (
    IdentityNetwork,
    identity_network_of,
    load_identity_network,
    save_identity_network,
)
from smirk3d.estimation.shape_window import WINDOW_PX, mean_landmarks, mirrored, n_features, window_layout
from smirk3d.geometry.align import Similarity
from smirk3d.head.load import load_open_head
from smirk3d.head.model import HeadModel
from smirk3d.media.images import Photo
from smirk3d.networks.shape_network import ShapeNetwork


@pytest.fixture(scope="module")
def made(open_head: HeadModel) -> IdentityNetwork:
    """A network of random numbers."""
    torch.manual_seed(0)
    covariance = 0.2 * torch.eye(open_head.n_shape) + 0.1
    network = ShapeNetwork(n_features(), open_head.n_shape).eval()
    return IdentityNetwork(network, covariance, window_layout(open_head), open_head.data.content_id, {"seed": "0"})


def face_and_alignment(head: HeadModel, pixels: np.ndarray) -> tuple[FaceObservation, Similarity]:
    points = mean_landmarks(head).numpy()
    flat = (points[:, :2] * [900, -900] + 120).astype(np.float32)
    box = np.concatenate([flat.min(0), flat.max(0)])
    detection = Detection(flat, (-900 * points[:, 2]).astype(np.float32), np.zeros(52, np.float32), box, 1.0)
    alignment = Similarity(torch.tensor([900.0]), torch.eye(3)[None], torch.tensor([[120.0, -120.0, 0.0]]))
    return FaceObservation(Photo(pixels), detection), alignment


def test_a_mirrored_face_has_the_mirrored_identity(open_head, made):
    random = torch.Generator().manual_seed(1)
    textures, features = (
        255 * torch.rand(2, *WINDOW_PX, generator=random),
        torch.randn(2, n_features(), generator=random),
    )
    own = made.predict(open_head, textures, features)
    other = made.predict(open_head, *mirrored(open_head, textures, features))
    torch.testing.assert_close(other, own * open_head.data.shape_mirror_sign, atol=1e-5, rtol=1e-4)
    assert own.std() > 0.01


def test_a_photo_of_one_colour_shows_nothing(open_head, made):
    noise = np.random.default_rng(0).integers(0, 255, (240, 240, 3), dtype=np.uint8)
    face, alignment = face_and_alignment(open_head, noise)
    shape, seen = made.observe(open_head, [face], alignment)
    assert shape.shape == (1, open_head.n_shape) and seen.tolist() == [True]
    blank, _ = face_and_alignment(open_head, np.full_like(noise, 90))
    assert made.observe(open_head, [blank], alignment)[1].tolist() == [False]


def test_a_file_is_read_back_and_a_damaged_one_is_named(open_head, made, tmp_path):
    save_identity_network(made, tmp_path / "a.safetensors")
    found = load_identity_network(tmp_path / "a.safetensors")
    assert found.head == made.head and found.meta == {"seed": "0"}
    torch.testing.assert_close(found.precision @ made.covariance, torch.eye(open_head.n_shape), atol=2e-2, rtol=0)
    random = torch.Generator().manual_seed(2)
    seen = 255 * torch.rand(1, *WINDOW_PX, generator=random), torch.randn(1, n_features(), generator=random)
    torch.testing.assert_close(found.predict(open_head, *seen), made.predict(open_head, *seen), atol=1e-2, rtol=0)
    (tmp_path / "b.safetensors").write_bytes(b"no tensors")
    with pytest.raises(Smirk3dError, match=r"b\.safetensors: cannot be read"):
        load_identity_network(tmp_path / "b.safetensors")
    broken = replace(made, covariance=torch.full_like(made.covariance, torch.nan))
    save_identity_network(broken, tmp_path / "c.safetensors")
    with pytest.raises(Smirk3dError, match=r"c\.safetensors: cannot be read .*finite"):
        load_identity_network(tmp_path / "c.safetensors")


def test_the_packaged_network_is_of_the_packaged_head(open_head):
    found = identity_network_of(open_head)
    assert found is not None and found.covariance.shape == (open_head.n_shape, open_head.n_shape)
    value = torch.linalg.eigvalsh(found.covariance.double())
    assert value.min() > 0 and value.max() < 5
    assert identity_network_of(load_open_head(n_shape=20)) is None
