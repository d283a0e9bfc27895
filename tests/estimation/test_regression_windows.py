"""Windows that landmarks place are those that pose and camera of the crop place."""

from __future__ import annotations

import numpy as np
import pytest
import roma
import torch

from smirk3d.detection.crop import Crop, camera_from_crop, camera_to_crop
from smirk3d.detection.detector import Detection
from smirk3d.estimation.estimator import FaceObservation
from smirk3d.estimation.regression import TTA_OFFSETS, window_encoder
from smirk3d.geometry.align import Similarity
from smirk3d.media.images import Photo
from smirk3d.networks.encoder import Encoder, EncoderConfig
from smirk3d.networks.face_window import FaceWindow, perturb_roi

BACKBONE = "tf_mobilenetv3_small_minimal_100"
CPU = torch.device("cpu")


def test_camera_to_crop_is_the_inverse_of_camera_from_crop() -> None:
    random = np.random.default_rng(0)
    rotmat = roma.random_rotmat(3).double()
    root = torch.tensor([0.0, -0.15, 0.01], dtype=torch.float64)
    placed = Similarity(
        torch.tensor([900.0, 1200.0, 700.0], dtype=torch.float64),
        rotmat,
        torch.from_numpy(random.uniform(-300, 300, (3, 3))),
    )
    crops = [Crop(*random.uniform(0, 100, 2), random.uniform(100, 300), 160) for _ in range(3)]
    pose, camera = camera_to_crop(placed, root, crops)
    torch.testing.assert_close(roma.rotvec_to_rotmat(pose), rotmat)
    points = random.normal(0, 0.1, (20, 3))
    for k, crop in enumerate(crops):
        back = camera_from_crop(rotmat[k].numpy(), root.numpy(), camera[k].numpy(), crop)
        up = placed.apply(torch.from_numpy(points))[k, :, :2].numpy()
        np.testing.assert_allclose(back.project(points), up * (1, -1), atol=1e-6)


@pytest.mark.parametrize("engine", ["torch", "onnx"])
def test_windows_placed_from_outside(open_head, engine: str) -> None:
    if engine == "onnx":
        pytest.importorskip("onnxruntime")
    window = FaceWindow(size_px=32)
    torch.manual_seed(0)
    encoder = Encoder(open_head.spec, EncoderConfig(BACKBONE, BACKBONE, BACKBONE, window, flip_tta=True), 64).eval()
    random = torch.Generator().manual_seed(1)
    pixels = (torch.rand(120, 120, 3, generator=random) * 255).byte().numpy()
    points = np.random.default_rng(0).uniform(30, 90, (478, 2)).astype(np.float32)
    box = np.concatenate([points.min(0), points.max(0)])
    detection = Detection(points, np.zeros(478, np.float32), np.zeros(52, np.float32), box, 1.0)
    face_observation = FaceObservation(Photo(pixels), detection)
    crop = Crop.from_landmarks(points, 1.4, 64)
    placed = Similarity(torch.tensor([350.0]), torch.eye(3)[None], torch.tensor([[60.0, -60.0, 0.0]]))
    said = window_encoder(encoder, engine, CPU).predict_expression([face_observation], placed)  # type: ignore[arg-type]
    place = window.affine_from_pose(*camera_to_crop(placed, torch.tensor(window.root_m), [crop]))
    # The window's middle is where the map puts it.
    middle = placed.apply(torch.tensor([window.center_m]))[0, 0, :2].numpy() * (1, -1)
    np.testing.assert_allclose(place[0, :, 2].numpy(), crop.to_ndc(crop.to_crop(middle)), atol=1e-5)
    with torch.no_grad():
        seen = crop.cut(pixels, antialias=True)[None]
        each = [
            encoder.regress_expression(window.extract(seen, perturb_roi(place, *look)))["expression"]
            for look in TTA_OFFSETS
        ]
    assert not torch.allclose(each[0], each[1], atol=1e-4)
    torch.testing.assert_close(said.expression, torch.stack(each).mean(0), atol=1e-4, rtol=1e-3)
