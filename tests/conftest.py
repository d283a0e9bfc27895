"""Heads and faces that several tests share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from smirk3d.face import Face
from smirk3d.geometry.camera import Camera
from smirk3d.geometry.euler import rotation_from_angles
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.load import load_head
from smirk3d.head.model import HeadModel
from smirk3d.types import FaceParams, LandmarkEmbedding


@pytest.fixture(scope="session")
def open_head() -> HeadModel:
    return load_head("open")


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
        return Face(
            vertices=landmark_head(params).vertices.numpy(),
            neutral_vertices=landmark_head.shaped(params.shape).vertices.numpy(),
            triangles=landmark_head.faces.numpy(),
            shape=shape,
            expression=arkit,
            expression_names=ARKIT_NAMES,
            arkit=dict(zip(ARKIT_NAMES, arkit.tolist(), strict=True)),
            jaw=np.zeros(3, dtype=np.float32),
            eyelids=np.zeros(2, dtype=np.float32),
            camera=camera,
            confidence=0.875,
            method="fit",
            image_size=image_size,
            box_px=np.array([x.min(), y.min(), x.max(), y.max()]),
            residual_percent=1.5,
            head=landmark_head,
        )

    return build
