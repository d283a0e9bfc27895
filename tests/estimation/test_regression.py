"""Heads from an encoder: its prediction for a crop must hold in the photo."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from skimage.data import astronaut

from smirk3d import Reconstructor
from smirk3d.detection.crop import Crop, camera_to_crop
from smirk3d.detection.detector import Detection
from smirk3d.errors import Smirk3dError
from smirk3d.estimation.estimator import FaceObservation, reconstruct_faces
from smirk3d.estimation.regression import (
    CROP_SCALE,
    MAX_BATCH,
    TTA_OFFSETS,
    CropEncoder,
    RegressionEstimator,
    head_for,
    window_encoder,
)
from smirk3d.estimation.resynthesis import resynthesise
from smirk3d.geometry.align import Similarity
from smirk3d.geometry.camera import project_orthographic
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.landmark_indices import OUTER_EYE_CORNERS
from smirk3d.head.model import HeadModel
from smirk3d.media.images import Photo
from smirk3d.networks.checkpoint import save_networks
from smirk3d.networks.encoder import Encoder, EncoderConfig
from smirk3d.networks.face_window import FaceWindow, perturb_roi
from smirk3d.networks.neural_renderer import NeuralRenderer
from smirk3d.params import FaceParams

SIZE_PX = 96
BACKBONE = "tf_mobilenetv3_small_minimal_100"
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def sized_head(flame_head) -> HeadModel:
    return HeadModel(flame_head.data, 300, 50)


@pytest.fixture(scope="module")
def face_observation(open_head):
    with Reconstructor(open_head, "fit") as reconstructor:
        prepared = reconstructor.read_and_detect(astronaut())
    return FaceObservation(prepared.photo, prepared.detections[0])


def known(head: HeadModel, count: int) -> FaceParams:
    random = torch.Generator().manual_seed(0)

    def normal(size: int, scale: float) -> torch.Tensor:
        return scale * torch.randn(count, size, generator=random)

    return FaceParams(
        shape=normal(300, 0.5),
        expression=normal(50, 0.5),
        eyelids=torch.rand(count, 2, generator=random),
        jaw=torch.tensor([[0.2, 0.02, 0.0]]).expand(count, 3),
        pose=normal(3, 0.3),
        camera=torch.tensor([[7.5, 0.01, -0.02]]).expand(count, 3),
    )


def estimate(head: HeadModel, encoder: Callable, observations: list, person: list[int]):
    crops = CropEncoder(encoder, SIZE_PX, torch.device("cpu"))
    return reconstruct_faces(RegressionEstimator(head, crops), observations, np.array(person))


def test_the_mesh_lies_where_the_method_projects_it(sized_head, face_observation):
    predicted, seen = known(sized_head, 1), []

    def encoder(crops: torch.Tensor) -> FaceParams:
        seen.append(crops)
        return predicted

    (face,) = estimate(sized_head, encoder, [face_observation], [0])
    crop = Crop.from_landmarks(face_observation.detection.landmarks_px, CROP_SCALE, SIZE_PX)
    torch.testing.assert_close(seen[0], crop.cut(face_observation.photo.pixels)[None])
    assert predicted.camera is not None
    ndc = project_orthographic(sized_head(predicted).vertices, predicted.camera)[0, :, :2].numpy()
    np.testing.assert_allclose(face.project(face.vertices), crop.to_photo(crop.from_ndc(ndc)), atol=2e-3)
    assert face.method == "encoder" and face.camera.focal_px is None
    np.testing.assert_allclose(face.jaw, [0.2, 0.02, 0.0], atol=1e-6)
    assert face.arkit["jawOpen"] > 0.2 and set(face.arkit) == set(ARKIT_NAMES)
    assert all(0 <= weight <= 1 for weight in face.arkit.values())
    distance_px = np.linalg.norm(face.landmarks("mediapipe") - face_observation.detection.landmarks_px, axis=1).mean()
    right, left = face_observation.detection.landmarks_px[list(OUTER_EYE_CORNERS)]
    assert face.residual_percent == pytest.approx(100 * distance_px / np.linalg.norm(left - right), rel=1e-3)
    assert face.residual_percent > 1 and 0 < face.confidence < 1


def test_faces_of_one_person_share_their_shape(sized_head, face_observation):
    predicted = known(sized_head, 3)
    faces = estimate(sized_head, lambda crops: predicted, [face_observation] * 3, [0, 1, 0])
    assert predicted.shape is not None
    shape = predicted.shape.numpy()
    np.testing.assert_allclose(faces[0].shape, (shape[0] + shape[2]) / 2, atol=1e-6)
    np.testing.assert_array_equal(faces[0].shape, faces[2].shape)
    np.testing.assert_allclose(faces[1].shape, shape[1], atol=1e-6)


def test_crops_are_encoded_in_batches_and_in_order(face_observation):
    counts = []

    def encoder(crops: torch.Tensor) -> FaceParams:
        counts.append(len(crops))
        return FaceParams(expression=crops.flatten(1).mean(1, keepdim=True))

    photo, found = face_observation.photo, face_observation.detection
    moved = [
        FaceObservation(photo, replace(found, landmarks_px=found.landmarks_px + shift))
        for shift in range(MAX_BATCH + 3)
    ]
    predicted, crops = CropEncoder(encoder, 32, torch.device("cpu"))(moved)
    assert counts == [MAX_BATCH, 3] and {crop.size for crop in crops} == {32}
    brightness = torch.stack([crop.cut(photo.pixels).mean() for crop in crops])
    assert predicted.expression is not None and brightness.std() > 0
    torch.testing.assert_close(predicted.expression[:, 0], brightness)


def test_a_released_checkpoint_runs(flame_head, tmp_path):
    torch.manual_seed(0)
    spec = HeadModel(flame_head.data, 300, 50).spec
    tensors = {f"smirk_encoder.{name}": value for name, value in Encoder(spec).state_dict().items()}
    tensors |= {f"smirk_generator.{name}": value for name, value in NeuralRenderer().state_dict().items()}
    path = tmp_path / "SMIRK_em1.pt"
    torch.save(tensors, path)
    with Reconstructor(flame_head, "encoder", weights=path) as reconstructor:
        (face,) = reconstructor(astronaut())
    assert face.method == "encoder" and face.shape.shape == (300,) and face.expression.shape == (50,)
    result = resynthesise(NeuralRenderer.from_checkpoint(path), face, astronaut())
    assert result.photo.shape == (224, 224, 3) and result.photo.dtype == np.uint8
    again = resynthesise(NeuralRenderer.from_checkpoint(path).for_inference(), face, astronaut())
    np.testing.assert_allclose(result.photo.astype(float), again.photo, atol=2)


def test_weights_for_another_head_are_refused(open_head, flame_head, tmp_path):
    path = tmp_path / "w.safetensors"
    spec = HeadModel(flame_head.data, 300, 50).spec
    save_networks(path, encoder=Encoder(spec), meta={})
    with pytest.raises(Smirk3dError, match=r"w\.safetensors: its encoder is not for the head 'open'") as error:
        Reconstructor(open_head, "encoder", weights=path)
    assert "\n" not in str(error.value)
    few = HeadModel(open_head.data, 10, 52).spec
    with pytest.raises(Smirk3dError, match="eyelids, jaw"):
        head_for(few, flame_head, "w.pt")
    with pytest.raises(Smirk3dError, match="on the CPU"):
        from smirk3d.estimation.regression import crop_encoder

        crop_encoder(Encoder(few), "onnx", torch.device("cuda"))


def test_onnx_gives_the_same(flame_head, tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    torch.manual_seed(1)
    path = tmp_path / "w.safetensors"
    save_networks(path, encoder=Encoder(HeadModel(flame_head.data, 300, 50).spec).eval(), meta={})
    faces = []
    for engine in ("torch", "onnx"):
        with Reconstructor(flame_head, "encoder", weights=path, engine=engine) as reconstructor:
            faces += reconstructor(astronaut())
    np.testing.assert_allclose(faces[0].vertices, faces[1].vertices, atol=1e-5)
    np.testing.assert_allclose(list(faces[0].arkit.values()), list(faces[1].arkit.values()), atol=1e-3)


@pytest.mark.parametrize("engine", ["torch", "onnx"])
def test_windows_are_placed_by_the_landmarks(open_head, engine: str) -> None:
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
    alignment = Similarity(torch.tensor([350.0]), torch.eye(3)[None], torch.tensor([[60.0, -60.0, 0.0]]))
    predicted = window_encoder(encoder, engine, CPU).predict_expression([face_observation], alignment)  # type: ignore[arg-type]
    place = window.affine_from_pose(*camera_to_crop(alignment, torch.tensor(window.root_m), [crop]))
    # The window's middle is where the map puts it.
    middle = alignment.apply(torch.tensor([window.center_m]))[0, 0, :2].numpy() * (1, -1)
    np.testing.assert_allclose(place[0, :, 2].numpy(), crop.to_ndc(crop.to_crop(middle)), atol=1e-5)
    with torch.no_grad():
        seen = crop.cut(pixels, antialias=True)[None]
        each = [
            encoder.regress_expression(window.extract(seen, perturb_roi(place, *look)))["expression"]
            for look in TTA_OFFSETS
        ]
    assert not torch.allclose(each[0], each[1], atol=1e-4)
    torch.testing.assert_close(predicted.expression, torch.stack(each).mean(0), atol=1e-4, rtol=1e-3)
