"""Heads and faces that several tests share."""

from __future__ import annotations

import gc
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from flame_layout import write_flame_layout
from skimage.data import astronaut

from smirk3d import Reconstructor
from smirk3d.authoring.flame_completion import transfer_annotations
from smirk3d.authoring.load import load_head
from smirk3d.detection.detector import Detector
from smirk3d.face import Face, ImageFit, assemble_face
from smirk3d.geometry.camera import Camera
from smirk3d.geometry.euler import rotation_from_angles
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.data import JOINT_NAMES, HeadData
from smirk3d.head.flame.loader import read_flame
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams, LandmarkEmbedding
from smirk3d.render.appearance.baked_face import BakedFaceRenderer


def pytest_collection_finish() -> None:
    """Leave modules and tests, which stay to the end, out of all later garbage collections."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def other_process() -> Iterator[ProcessPoolExecutor]:
    """One process for all tests that need another one; it starts empty, see `other_process.py`."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:
        yield executor


@pytest.fixture(scope="session")
def baked_renderer(open_head: HeadModel) -> BakedFaceRenderer:
    """The renderer of rendered faces, whose tables take seconds."""
    return BakedFaceRenderer(open_head)


@pytest.fixture(scope="session")
def open_head() -> HeadModel:
    return load_head("open")


@pytest.fixture(scope="session")
def flame_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bare file in FLAME's layout with a face, as `flame_layout.make_flame_layout()` describes it."""
    path = tmp_path_factory.mktemp("flame") / "generic_model.pkl"
    write_flame_layout(path, chumpy=False)
    return path


@pytest.fixture(scope="session")
def flame_head(flame_file: Path) -> HeadModel:
    """The head of `flame_file` with everything that it lacks."""
    with Detector(max_faces=1) as detector:
        return HeadModel(transfer_annotations(read_flame(flame_file), detector))


@pytest.fixture(scope="session")
def flame_face(flame_head: HeadModel) -> Face:
    """The astronaut's face on `flame_head`."""
    with Reconstructor(flame_head, "fit") as reconstructor:
        return reconstructor(astronaut())[0]


@pytest.fixture(scope="session")
def landmark_head(open_head: HeadModel) -> HeadModel:
    """The open head with an arbitrary "ibug68" embedding, known to the tests."""
    index = open_head.region_mask("face")[open_head.faces].all(dim=1).nonzero()[:, 0][::40][:68]
    embedding = LandmarkEmbedding(
        index, torch.tensor([[0.2, 0.3, 0.5]]).repeat(68, 1), torch.ones(68), torch.arange(68)
    )
    return HeadModel(replace(open_head.data, landmarks={"ibug68": embedding}))


@pytest.fixture(scope="session")
def make_face(landmark_head: HeadModel) -> Callable[..., Face]:
    """Build a face; `weights` are ARKit weights by name, otherwise they are random."""

    def build(
        weights: dict[str, float] | None = None,
        *,
        seed: int = 0,
        angles_deg: tuple[float, float, float] = (20.0, -8.0, 5.0),
        image_size: tuple[int, int] = (320, 240),
        focal_px: float | None = None,
    ) -> Face:
        generator = np.random.default_rng(seed)
        arkit = generator.uniform(0, 0.4, 52).astype(np.float32)
        if weights is not None:
            arkit = np.array([weights.get(name, 0.0) for name in ARKIT_NAMES], dtype=np.float32)
        shape = generator.normal(0, 1, landmark_head.n_shape).astype(np.float32)
        params = FaceParams(torch.from_numpy(shape), torch.from_numpy(arkit))
        scale_px_per_m = 0.6 * image_size[1] / 0.25
        distance_m = 0.0 if focal_px is None else focal_px / scale_px_per_m
        camera = Camera(
            rotation_from_angles(*angles_deg),
            np.array([0.01, -0.01, -distance_m]),
            np.array(image_size) / 2.0,
            scale_px_per_m,
            focal_px,
        )
        x, y = camera.project(landmark_head(params).vertices.numpy()).T
        coefficients = {"shape": shape, "expression": arkit}
        box_px = np.array([x.min(), y.min(), x.max(), y.max()])
        return assemble_face(
            landmark_head,
            landmark_head(params).vertices.numpy(),
            landmark_head.shaped(params.shape).vertices.numpy(),
            coefficients,
            arkit,
            ImageFit(camera, 0.875, "fit", image_size, box_px, residual_percent=1.5),
        )

    return build


def _tiny_data(seed: int = 0) -> HeadData:
    """A head of random numbers with all that FLAME has: pose correctives, a jaw joint, late eyelids."""
    random = torch.Generator().manual_seed(seed)

    def normal(*size: int, scale: float = 1.0) -> torch.Tensor:
        return scale * torch.randn(*size, generator=random)

    vertices, shapes, expressions, joints = 14, 4, 3, len(JOINT_NAMES)
    faces = torch.stack([torch.randperm(vertices, generator=random)[:3] for _ in range(10)])
    embedding = LandmarkEmbedding(
        torch.tensor([0, 3, 7]),
        torch.tensor([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0], [0.5, 0.25, 0.25]]),
        torch.tensor([1.0, 0.5, 0.5]),
        torch.tensor([0, 2, 1]),
    )
    return HeadData(
        name="tiny",
        v_template=normal(vertices, 3, scale=0.1),
        shapedirs=normal(vertices, 3, shapes, scale=0.01),
        expressiondirs=normal(vertices, 3, expressions, scale=0.01),
        expression_rotvec=torch.zeros(expressions, joints, 3),
        J_regressor=torch.rand(joints, vertices, generator=random).softmax(dim=1),
        lbs_weights=normal(vertices, joints, scale=2.0).softmax(dim=1),
        faces=faces,
        uv=torch.rand(vertices, 2, generator=random),
        faces_uv=faces.clone(),
        expression_names=("one", "two", "three"),
        expression_low=float("-inf"),
        expression_high=float("inf"),
        regions={"face": torch.arange(vertices) < 9},
        landmarks={"ibug68": embedding},
        posedirs=normal(vertices, 3, 9 * (joints - 1), scale=0.01),
        eyelid_dirs=normal(vertices, 3, 2, scale=0.01),
        eyelids_after_skinning=True,
        meta={"source": "random numbers"},
    )


@pytest.fixture(scope="session")
def tiny_data() -> HeadData:
    return _tiny_data()


@pytest.fixture(scope="session", params=["open", "tiny"])
def any_head(request: pytest.FixtureRequest) -> HeadModel:
    """Each kind of head in turn: blend shapes that turn the eyes, and FLAME's features."""
    return request.getfixturevalue("open_head") if request.param == "open" else HeadModel(_tiny_data())
