"""Face windows, the pose code, and test-time augmentation of the encoder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import roma
import torch

from smirk3d.geometry.camera import project_orthographic
from smirk3d.head.arkit import ARKIT_MIRROR
from smirk3d.head.landmark_indices import SKIN_COUNT
from smirk3d.head.model import HeadModel
from smirk3d.head.spec import Param, ParamSpec
from smirk3d.networks.checkpoint import save_networks
from smirk3d.networks.encoder import Encoder, EncoderConfig
from smirk3d.networks.face_window import MEAN_POSE_CODE, POSE_CODE_FLIP_SIGNS, FaceFrame, FaceWindow, perturb_roi
from smirk3d.params import FaceParams

SPEC = ParamSpec(
    (Param("shape", 5), Param("expression", 52, 0.0, 1.0), Param("pose", 3), Param("camera", 3)),
)
SMALL = "tf_mobilenetv3_small_minimal_100"
WINDOW = FaceWindow(size_px=64)
POSE = torch.tensor([[0.0, 0.0, 0.0], [0.1, -0.4, 0.2], [0.0, 0.0, -0.5]])
CAMERA = torch.tensor([[9.0, 0.01, 0.02], [7.0, -0.02, 0.1], [11.0, 0.0, -0.03]])
CENTER = torch.tensor([[0.0, 0.01, 0.12], [0.002, -0.02, 0.14], [-0.001, 0.0, 0.13]])
ROOT = torch.tensor([[0.0, -0.15, 0.0], [0.001, -0.16, 0.01], [0.0, -0.14, 0.007]])
FACE = FaceFrame(CENTER, ROOT, torch.tensor([[0.9], [1.0], [1.2]]))


def posed(points_m: torch.Tensor) -> torch.Tensor:
    """Turn points (N, 3) by each pose about the root: (B, N, 3)."""
    root = torch.tensor(WINDOW.root_m)
    return (points_m - root) @ roma.rotvec_to_rotmat(POSE).mT + root


def rotated(points_m: torch.Tensor, pose: torch.Tensor) -> torch.Tensor:
    """Turn points (B, N, 3) about each person's own root."""
    return (points_m - ROOT[:, None]) @ roma.rotvec_to_rotmat(pose).mT + ROOT[:, None]


def encoder(window: FaceWindow | None = WINDOW, *, iterative_pose: bool = False) -> Encoder:
    torch.manual_seed(0)
    return Encoder(SPEC, EncoderConfig(SMALL, SMALL, SMALL, window, iterative_pose=iterative_pose), 96).eval()


def test_window_is_centered_on_the_projected_point() -> None:
    projected = project_orthographic(posed(torch.tensor([WINDOW.center_m])), CAMERA)[:, 0, :2]
    torch.testing.assert_close(WINDOW.affine_from_pose(POSE, CAMERA)[:, :, 2], projected)


def test_window_is_upright_and_to_scale_on_the_head() -> None:
    center = torch.tensor(WINDOW.center_m)
    corners = center + WINDOW.half_m * torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    projected = project_orthographic(posed(corners), CAMERA)[..., :2]
    affine = WINDOW.affine_from_pose(POSE, CAMERA)
    in_window = torch.linalg.solve(affine[:, :, :2], (projected - affine[:, None, :, 2]).mT).mT
    # Heads that are only rolled: the head's left is the window's right, its top the window's top.
    for rolled in (0, 2):
        torch.testing.assert_close(in_window[rolled], torch.tensor([[1.0, 0.0], [0.0, -1.0]]))
    assert in_window[1, 1, 0].abs() < 1e-5  # up stays up whatever the pose


def test_the_pose_code_is_the_pose_and_the_camera_of_the_window() -> None:
    affine = WINDOW.affine_from_pose(POSE + 0.1, CAMERA * 1.05)
    pose_code = WINDOW.encode_pose(POSE, CAMERA, affine, FACE)
    for found, known in zip(WINDOW.decode_pose(pose_code, affine), (POSE, CAMERA), strict=True):
        torch.testing.assert_close(found, known, atol=1e-5, rtol=1e-5)
    # For the identity transform, the code decodes to pose and camera of the window itself.
    points = 0.05 * torch.randn(3, 20, 3, generator=torch.Generator().manual_seed(0)) + CENTER[:, None]
    in_crop = project_orthographic(rotated(points, POSE), CAMERA)[..., :2]
    in_window = torch.linalg.solve(affine[:, :, :2], (in_crop - affine[:, None, :, 2]).mT).mT
    pose, camera = WINDOW.decode_pose(pose_code, torch.eye(2, 3).expand(3, -1, -1))
    torch.testing.assert_close(
        project_orthographic(rotated(points, pose), camera)[..., :2], in_window, atol=1e-5, rtol=1e-5
    )


def test_mean_pose_code_is_that_of_the_mean_face(open_head: HeadModel) -> None:
    points = open_head.landmark_embedding("mediapipe").points(open_head.v_template, open_head.faces)[:SKIN_COUNT]
    root = open_head(FaceParams(shape=torch.zeros(1, open_head.n_shape))).joints[:, 0]
    pose, camera, window = torch.zeros(1, 3), torch.tensor([[8.0, 0.01, 0.02]]), FaceWindow()
    pose_code = window.encode_pose(
        pose, camera, window.affine_from_pose(pose, camera), FaceFrame(points.mean(0)[None], root, torch.ones(1, 1))
    )
    torch.testing.assert_close(pose_code, torch.tensor([MEAN_POSE_CODE]), atol=0.005, rtol=0)


def test_the_pose_code_of_a_flipped_image_has_flipped_signs() -> None:
    affine = WINDOW.affine_from_pose(POSE + 0.1, CAMERA)
    sides = torch.tensor([[1.0, -1.0, -1.0], [-1.0, 1.0, 1.0]])  # of a window in the flipped image
    pose, camera = POSE * torch.tensor([1.0, -1.0, -1.0]), CAMERA * torch.tensor([1.0, -1.0, 1.0])
    other = FaceFrame(CENTER * sides[1], ROOT * sides[1], FACE.relative_size)
    mirrored = WINDOW.encode_pose(pose, camera, affine * sides, other)
    torch.testing.assert_close(
        mirrored, WINDOW.encode_pose(POSE, CAMERA, affine, FACE) * torch.tensor(POSE_CODE_FLIP_SIGNS)
    )


def test_the_second_regression_replaces_the_coarse_pose() -> None:
    network = encoder(iterative_pose=True)
    pose, camera = torch.tensor([[0.1, 0.2, 0.3]]), torch.tensor([[8.0, 0.01, 0.05]])
    crop = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    first = network.coarse_pose(crop)
    pose_code = WINDOW.encode_pose(
        pose, camera, WINDOW.affine_from_pose(*first), FaceFrame(CENTER[:1], ROOT[:1], torch.ones(1, 1))
    )
    with torch.no_grad():
        network.shape_encoder.linear.bias[5:] = pose_code[0]
    found = network(crop)
    torch.testing.assert_close(found.pose, pose, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.camera, camera, atol=1e-5, rtol=1e-5)
    assert found.shape is not None and found.shape.shape == (1, 5)
    # The expression is predicted from the window of the second pose.
    moved = network.regress_expression(WINDOW.extract(crop, WINDOW.affine_from_pose(pose, camera)))
    torch.testing.assert_close(network.expression(crop)["expression"], moved["expression"])


@pytest.mark.parametrize("mirrored", [False, True])
def test_zoom_tta_averages_the_window_and_its_enlarged_center(mirrored: bool) -> None:
    torch.manual_seed(0)
    config = EncoderConfig(SMALL, SMALL, SMALL, WINDOW, flip_tta=mirrored, zoom_tta=0.75)
    network = Encoder(SPEC, config, 96)
    for name, values in network.expression_encoder.named_parameters():
        torch.nn.init.normal_(values, std=0.3) if "layers" in name else None
    side = WINDOW.size_px
    y, x = torch.meshgrid(*[torch.linspace(0, 1, side)] * 2, indexing="ij")
    windows = torch.stack([x, y, x * y]).expand(2, -1, -1, -1) * torch.tensor([1.0, 0.5])[:, None, None, None]
    edge = round(side / 8)
    center = torch.nn.functional.interpolate(windows[..., edge:-edge, edge:-edge], (side, side), mode="bilinear")
    plain = Encoder(SPEC, replace(config, zoom_tta=None), 96).eval()
    plain.load_state_dict(network.state_dict())
    with torch.no_grad():
        predictions = [plain.regress_expression(each)["expression"] for each in (windows, center)]
        pose_code = network.eval().regress_expression(windows)["expression"]
        torch.testing.assert_close(pose_code, (predictions[0] + predictions[1]) / 2)
        assert (predictions[0] - predictions[1]).abs().max() > 1e-4
        # In training mode one view is used.
        torch.testing.assert_close(
            network.train().regress_expression(windows), plain.train().regress_expression(windows)
        )


@pytest.mark.parametrize("setting", [{"iterative_pose": True}, {"zoom_tta": 0.9}, {"zoom_tta": 1.0, "window": WINDOW}])
def test_iterative_pose_and_zoom_tta_need_a_window(setting: dict) -> None:
    with pytest.raises(ValueError, match=r"(iterative_pose|zoom_tta) must be"):
        EncoderConfig(**setting)


def test_extracted_window_shows_its_part_of_the_crop() -> None:
    affine = WINDOW.affine_from_pose(POSE, CAMERA)
    steps = torch.linspace(-1 + 1 / 96, 1 - 1 / 96, 96)
    ramp = torch.stack([steps.expand(96, 96), steps[:, None].expand(96, 96), torch.zeros(96, 96)]).expand(3, -1, -1, -1)
    windows = WINDOW.extract(ramp, affine)
    row, column = 40, 17
    at = torch.tensor([(2 * column + 1) / 64 - 1, (2 * row + 1) / 64 - 1, 1.0])
    expected = affine @ at
    inside = (expected.abs() < 0.98).all(dim=1)
    assert inside.any()
    torch.testing.assert_close(windows[inside, :2, row, column], expected[inside])


def test_windows_are_black_beyond_the_crop() -> None:
    far = torch.tensor([[9.0, 1.0, 0.0]])
    assert (WINDOW.extract(torch.ones(1, 3, 96, 96), WINDOW.affine_from_pose(POSE[:1], far)) == 0).all()


def test_expression_alone_is_the_same() -> None:
    crops = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    for network in (encoder(), encoder(None)):
        with torch.no_grad():
            torch.testing.assert_close(network.expression(crops)["expression"], network(crops).expression)


def test_losses_on_the_expression_do_not_reach_the_pose() -> None:
    network = encoder().train()
    crops = torch.rand(3, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    expression = network(crops).expression
    assert expression is not None
    expression.sum().backward()
    assert all(parameter.grad is None for parameter in network.pose_encoder.parameters())
    assert network.expression_encoder.linear.weight.grad is not None


def test_features_keep_their_spatial_layout() -> None:
    crops = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    branch = encoder().expression_encoder
    with torch.no_grad():
        left, right = branch.features(crops), branch.features(crops.flip(3))
    assert not torch.allclose(left, right, atol=1e-3)


def test_a_saved_encoder_keeps_its_window(tmp_path: Path) -> None:
    saved = encoder()
    save_networks(tmp_path / "a.safetensors", encoder=saved, meta={})
    loaded = Encoder.from_checkpoint(tmp_path / "a.safetensors")
    assert loaded.config == saved.config and loaded.size_px == 96
    crops = torch.rand(2, 3, 96, 96)
    with torch.no_grad():
        for name, value in saved(crops).items():
            torch.testing.assert_close(getattr(loaded(crops), name), value)


@pytest.mark.parametrize("fault", [{"size_px": 0}, {"half_m": 0.0}])
def test_sizes_must_be_positive(fault: dict) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        FaceWindow(**fault)


def test_perturbed_windows_are_rotated_and_shifted() -> None:
    """A window of half the crop's side, about (0.1, 0.2), is rotated until its right side is below."""
    old = torch.tensor([[[0.5, 0.0, 0.1], [0.0, 0.5, 0.2]]])
    new = perturb_roi(old, 90.0, 0.2)
    right = (new @ torch.tensor([1.0, 0.0, 1.0]))[0]
    torch.testing.assert_close(new[0, :, 2], torch.tensor([0.2, 0.2]))
    torch.testing.assert_close(right, torch.tensor([0.2, 0.7]))
    torch.testing.assert_close(perturb_roi(old, 0.0, 0.0), old)
    # In the mirror, where right is left, the same face has the opposite window.
    flip = torch.diag(torch.tensor([-1.0, 1.0, 1.0]))
    mirrored = (flip[:2, :2] @ perturb_roi(old, 20.0, 0.3) @ flip)[0]
    torch.testing.assert_close(mirrored, perturb_roi(flip[:2, :2] @ old @ flip, -20.0, -0.3)[0])


def test_flip_tta_is_equivariant() -> None:
    torch.manual_seed(0)
    network = Encoder(SPEC, EncoderConfig(SMALL, SMALL, SMALL, flip_tta=True)).eval()
    crops = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        projected, mirrored = (network.expression(each)["expression"] for each in (crops, crops.flip(3)))
        plain = network.expression_encoder(crops)["expression"]
    torch.testing.assert_close(projected, mirrored[:, list(ARKIT_MIRROR)])
    assert not torch.allclose(projected, plain, atol=1e-5)


def test_flip_tta_needs_arkit_weights() -> None:
    flame = ParamSpec((Param("shape", 5), Param("expression", 50), *SPEC.params[2:]))
    with pytest.raises(ValueError, match="ARKit"):
        Encoder(flame, EncoderConfig(SMALL, SMALL, SMALL, flip_tta=True))
