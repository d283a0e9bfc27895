"""Morph targets of a head whose expression components are not the ARKit blendshapes."""

import numpy as np
import pytest
from pygltflib import GLTF2

from smirk3d.export import save_face
from smirk3d.export.gltf.morph_sparsity import morph_pattern
from smirk3d.export.gltf.morph_targets import MIN_OFFSET_M, RESIDUAL_TARGET, morph_targets
from smirk3d.head.arkit import ARKIT_NAMES


@pytest.fixture(scope="module")
def targets(flame_face):
    return morph_targets(flame_face)


def test_flame_has_the_arkit_blendshapes(flame_face, targets):
    assert targets.names == (*ARKIT_NAMES, RESIDUAL_TARGET)
    np.testing.assert_allclose(targets.weights[:-1], list(flame_face.arkit.values()), rtol=1e-6)
    reached = flame_face.neutral_vertices + np.tensordot(targets.weights, targets.offsets, axes=1)
    np.testing.assert_allclose(reached, flame_face.vertices, atol=1e-6)
    # The remainder is small beside what the actions do.
    actions = np.tensordot(targets.weights[:-1], targets.offsets[:-1], axes=1)
    assert np.linalg.norm(targets.offsets[-1]) < 0.35 * np.linalg.norm(actions)


def test_blendshapes_move_the_parts_in_their_names(flame_face, targets):
    points = {name: flame_face.head.region_mask(name).numpy() for name in ("lips", "forehead", "eyeballs")}
    x = flame_face.head.v_template[:, 0].numpy()
    size = np.linalg.norm(targets.offsets, axis=2)

    def moved(name: str, mask: np.ndarray) -> float:
        return float(size[ARKIT_NAMES.index(name)][mask].max())

    assert moved("jawOpen", points["lips"]) > 0.01 and moved("jawOpen", points["forehead"]) < 0.002
    left, right = points["eyeballs"] & (x > 0), points["eyeballs"] & (x < 0)
    assert moved("eyeLookInLeft", left) > 0.003 and moved("eyeLookInLeft", right) < 0.0005
    lips_left, lips_right = points["lips"] & (x > 0.01), points["lips"] & (x < -0.01)
    assert moved("mouthSmileLeft", lips_left) > 2 * moved("mouthSmileLeft", lips_right)


def test_no_motion_outside_the_pattern(flame_face, targets):
    pattern = morph_pattern(flame_face.head)
    assert np.abs(targets.offsets[~pattern.moved]).max(initial=0) <= MIN_OFFSET_M


def test_the_file_has_their_names(flame_face, tmp_path):
    path = save_face(flame_face, tmp_path / "face.glb")
    (mesh,) = GLTF2().load(str(path)).meshes  # pyright: ignore[reportOptionalMemberAccess]
    assert mesh.extras is not None
    assert mesh.extras["targetNames"] == [*ARKIT_NAMES, RESIDUAL_TARGET]
    assert mesh.weights == pytest.approx([*flame_face.arkit.values(), 1.0], abs=1e-6)
    assert path.stat().st_size < 12e6
