from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from smirk3d.export.gltf.morph_sparsity import morph_pattern, normal_offsets
from smirk3d.export.gltf.morph_targets import morph_targets
from smirk3d.head.model import HeadModel
from smirk3d.head.registry import register
from smirk3d.params import FaceParams
from smirk3d.render.shading import vertex_normals


@pytest.fixture(scope="module", params=["open", "jawed"])
def face(make_face, request):
    face = make_face(seed=4)
    if request.param == "open":
        return face
    return replace(face, head_id=register(HeadModel(replace(face.head.data, jaw_readout=None))))


def test_no_motion_outside_the_pattern(face):
    pattern, targets = morph_pattern(face.head), morph_targets(face)
    assert np.abs(targets.offsets[~pattern.moved]).max() <= 1e-6
    assert (pattern.moved <= pattern.normal_changed).all()


def test_normals_are_those_of_the_moved_meshes(face):
    offsets = morph_targets(face).offsets
    normals, changes = normal_offsets(face.neutral_vertices, face.triangles, offsets, morph_pattern(face.head))
    neutral, triangles = torch.from_numpy(face.neutral_vertices), torch.from_numpy(face.triangles.astype(np.int64))
    np.testing.assert_allclose(normals, vertex_normals(neutral, triangles).numpy(), atol=1e-6)
    moved = vertex_normals(neutral + torch.from_numpy(offsets), triangles).numpy()
    assert np.quantile(np.abs(normals + changes - moved), 0.9999) < 1e-4
    np.testing.assert_allclose(normals + changes, moved, atol=5e-3)  # slivers lose digits


def test_offsets_equal_those_of_the_head_model(face):
    head, targets = face.head, morph_targets(face)
    for component in (0, 1, 17):  # the second one turns an eye
        weights = torch.zeros(head.n_expression)
        weights[component] = 1
        shape = torch.from_numpy(face.shape)
        moved = head(FaceParams(shape=shape, expression=weights)).vertices.numpy() - face.neutral_vertices
        np.testing.assert_allclose(targets.offsets[component], moved, atol=1e-6)
