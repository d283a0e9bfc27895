"""USD files, evaluated with OpenUSD's skinning and compared with the head model and the animated GLB."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial.transform import Rotation
from synthetic_track import synthetic_track, with_other_head

from smirk3d.errors import Smirk3dError
from smirk3d.export import usd
from smirk3d.export.gltf.animation import clip_camera
from smirk3d.export.gltf.morph_targets import RESIDUAL_TARGET, morph_targets
from smirk3d.export.texture import Texture
from smirk3d.export.usd import save_usd
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams
from smirk3d.render.appearance.materials import material_parts
from smirk3d.render.appearance.part_textures import part_uv
from smirk3d.render.shading import vertex_normals
from smirk3d.track import Track

pxr: Any = pytest.importorskip("pxr", reason="needs usd-core")
from pxr import Gf, Sdf, Usd, UsdGeom, UsdShade, UsdSkel, UsdUtils  # noqa: E402, F401 # pyright: ignore

LOST = slice(10, 15)


class Player:
    """Evaluates a stage with OpenUSD."""

    def __init__(self, path: Path) -> None:
        self.stage = pxr.Usd.Stage.Open(str(path))
        self.root = self.stage.GetDefaultPrim()
        find = self.stage.GetPrimAtPath
        self.mesh = pxr.UsdGeom.Mesh(find("/clip/character/head"))
        cache, character = pxr.UsdSkel.Cache(), pxr.UsdSkel.Root(find("/clip/character"))
        cache.Populate(character, pxr.Usd.PrimDefaultPredicate)
        (binding,) = cache.ComputeSkelBindings(character, pxr.Usd.PrimDefaultPredicate)
        (self.skinning,) = binding.GetSkinningTargets()
        self.skeleton = cache.GetSkelQuery(binding.GetSkeleton())
        self.animation = self.skeleton.GetAnimQuery()
        self.shapes = pxr.UsdSkel.BlendShapeQuery(pxr.UsdSkel.BindingAPI(self.mesh))

    def points(self, code: float) -> np.ndarray:
        """Vertices (V, 3) in the scene."""
        weights = self.skinning.GetBlendShapeMapper().Remap(self.animation.ComputeBlendShapeWeights(code))
        sub_weights, rows, sub_rows = self.shapes.ComputeSubShapeWeights(weights)
        places, offsets = self.shapes.ComputeBlendShapePointIndices(), self.shapes.ComputeSubShapePointOffsets()
        points = self.mesh.GetPointsAttr().Get()
        assert self.shapes.ComputeDeformedPoints(sub_weights, rows, sub_rows, places, offsets, points)
        turns = self.skeleton.ComputeSkinningTransforms(code)
        assert self.skinning.ComputeSkinnedPoints(turns, points, code)
        return np.array(points)

    def joint(self, index: int, code: float) -> np.ndarray:
        """(4, 4) from a joint to the scene; USD multiplies from the left."""
        return np.array(self.skeleton.ComputeJointSkelTransforms(code)[index]).T


@pytest.fixture(scope="module")
def track(open_head) -> Track:
    return synthetic_track(open_head, 40, lost=LOST)


@pytest.fixture(scope="module", params=[".usdc", ".usda", ".USD"])
def path(track, request, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("usd") / f"Köpfe 1{request.param}"
    pictures = [path.with_name(f"Köpfe 1_{name}.png") for name in ("eyes", "teeth")]
    assert save_usd(track, path) == [path, *pictures]
    return path


@pytest.fixture(scope="module")
def player(path) -> Player:
    return Player(path)


def posed(track: Track, arkit: np.ndarray) -> np.ndarray:
    """Vertices of the person with these weights in the head frame, computed with the head model."""
    params = FaceParams(shape=torch.from_numpy(track.shape), expression=torch.from_numpy(arkit))
    return track.head(params).vertices.numpy()


def placed(track: Track, row: int) -> np.ndarray:
    """Vertices of a row in the camera frame."""
    return posed(track, track.arkit[row]) @ track.rotation_rotmat[row].T + clip_camera(track).translation_m[row]


def assert_close(track: Track, found: np.ndarray, expected: np.ndarray) -> None:
    error = np.linalg.norm(found - expected, axis=1)
    other = track.head.region_mask("eyeballs").numpy().copy()
    if track.head.data.contacts is not None:  # lids and lips touch on the head and may overlap as sums of targets
        other[track.head.data.contacts.follower.numpy()] = True
    assert error[~other].max() < 1e-4  # lids follow the eyeballs a little
    assert error[other].max() < 5e-4


@pytest.mark.parametrize("row", [0, 3, 20, 39])
def test_mesh_equals_head_model_of_the_frame(player, track, row):
    assert_close(track, player.points(float(track.frame[row])), placed(track, row))


def test_motion_between_frames_is_linear(player, track):
    code = float(track.frame[3]) + 0.5
    weights = np.array(player.animation.ComputeBlendShapeWeights(code))
    np.testing.assert_allclose(weights, track.arkit[3:5].mean(axis=0), atol=1e-6)
    halfway = Rotation.from_matrix(track.rotation_rotmat[3:5].astype(float)).mean().as_matrix()
    np.testing.assert_allclose(player.joint(0, code)[:3, :3], halfway, atol=1e-6)


def test_no_motion_while_the_face_is_lost(player, track):
    before = player.points(float(track.frame[9]))
    for code in (track.frame[10], track.frame[12] + 0.3, track.frame[14]):
        np.testing.assert_allclose(player.points(float(code)), before, atol=1e-7)
    assert_close(track, player.points(float(track.frame[15])), placed(track, 15))


def test_time_codes_are_frames_of_the_clip(player, track):
    expected = np.delete(track.frame, range(10, 14)).tolist()  # the last lost frame has a key
    animation = pxr.UsdSkel.Animation(player.animation.GetPrim())
    for attribute in (
        animation.GetBlendShapeWeightsAttr(),
        animation.GetRotationsAttr(),
        animation.GetTranslationsAttr(),
        animation.GetScalesAttr(),
    ):
        assert attribute.GetTimeSamples() == expected
    stage = player.stage
    assert stage.GetTimeCodesPerSecond() == stage.GetFramesPerSecond() == 25
    assert (stage.GetStartTimeCode(), stage.GetEndTimeCode()) == (3, 42)


def test_uneven_frames_keep_their_times(track, tmp_path):
    times_s = np.cumsum(np.linspace(0.03, 0.06, 40))
    uneven = replace(synthetic_track(track.head, 40, 29.97), time_s=times_s)
    save_usd(uneven, tmp_path / "a.usdc")
    player = Player(tmp_path / "a.usdc")
    codes = pxr.UsdSkel.Animation(player.animation.GetPrim()).GetRotationsAttr().GetTimeSamples()
    np.testing.assert_allclose(np.array(codes) / 29.97, times_s, atol=1e-6)


def test_metadata_of_the_stage(player, track):
    assert pxr.UsdGeom.GetStageUpAxis(player.stage) == "Y"
    assert pxr.UsdGeom.GetStageMetersPerUnit(player.stage) == 1
    assert player.root.GetPath() == "/clip"
    said = player.stage.GetRootLayer().documentation
    assert "'open'" in said and track.head.data.meta["licence"] in said
    assert player.stage.GetRootLayer().customLayerData["licence"] == track.head.data.meta["licence"]


def test_shapes_are_the_morph_targets(player, track):
    targets = morph_targets(track.face(0))
    assert list(player.animation.GetBlendShapeOrder()) == list(ARKIT_NAMES) == list(targets.names)
    assert list(pxr.UsdSkel.BindingAPI(player.mesh).GetBlendShapesAttr().Get()) == list(ARKIT_NAMES)
    for name, offsets in zip(targets.names, targets.offsets, strict=True):
        shape = pxr.UsdSkel.BlendShape(player.stage.GetPrimAtPath(f"/clip/character/head/{name}"))
        rows = np.array(shape.GetPointIndicesAttr().Get())
        assert 0 < len(rows) < 0.65 * len(offsets) and (np.diff(rows) > 0).all()
        dense = np.zeros_like(offsets)
        dense[rows] = shape.GetOffsetsAttr().Get()
        np.testing.assert_allclose(dense, offsets, atol=1.1e-6)  # less than a micrometre may be left out


def test_a_target_without_offsets_is_not_an_empty_shape(track, tmp_path, monkeypatch):
    """Importers may drop empty shapes; the tongue of a head without one is such a target."""
    real, k = usd.morph_pattern(track.head), ARKIT_NAMES.index("tongueOut")
    moved, turned = real.moved.copy(), real.normal_changed.copy()
    moved[k] = turned[k] = False
    monkeypatch.setattr(usd, "morph_pattern", lambda head: replace(real, moved=moved, normal_changed=turned))
    save_usd(track, tmp_path / "a.usdc")
    player = Player(tmp_path / "a.usdc")
    shape = pxr.UsdSkel.BlendShape(player.stage.GetPrimAtPath("/clip/character/head/tongueOut"))
    assert list(shape.GetPointIndicesAttr().Get()) == [0]
    assert np.array(shape.GetOffsetsAttr().Get()).tolist() == [[0, 0, 0]]


def test_baked_points_and_normals(path, track):
    """In the last frame there are a full smile and half of a gaze, whose offsets add up almost linearly."""
    stage, code = pxr.Usd.Stage.Open(str(path)), float(track.frame[39])
    stage.SetEditTarget(stage.GetSessionLayer())  # the layer of the file is shared
    mesh = pxr.UsdGeom.Mesh(stage.GetPrimAtPath("/clip/character/head"))
    at_rest = np.array(mesh.GetNormalsAttr().Get())
    character = pxr.UsdSkel.Root(stage.GetPrimAtPath("/clip/character"))
    assert pxr.UsdSkel.BakeSkinning(character, pxr.Gf.Interval(code, code))
    assert_close(track, np.array(mesh.GetPointsAttr().Get(code)), placed(track, 39))
    moved, rotmat = posed(track, track.arkit[39]), track.rotation_rotmat[39]
    expected = vertex_normals(torch.from_numpy(moved), track.head.faces).numpy()
    assert ((np.array(mesh.GetNormalsAttr().Get(code)) @ rotmat) * expected).sum(axis=1).min() > 0.98
    assert (at_rest * expected).sum(axis=1).min() < 0.9


def test_eye_joints_move_an_eyeball_as_the_head_does(player, track):
    row, head = 30, track.head
    neutral, moved = posed(track, np.zeros(52, np.float32)), placed(track, row)
    names = list(player.skeleton.GetJointOrder())
    assert names == ["head", "head/eyeLeft", "head/eyeRight"]
    for side in ("Left", "Right"):
        ball = head.region_mask(f"{side.lower()}_eyeball").numpy()
        index = names.index(f"head/eye{side}")
        own = player.joint(index, float(track.frame[row]))
        center = np.array(player.skeleton.GetJointWorldBindTransforms()[index]).T[:3, 3]
        np.testing.assert_allclose((neutral[ball] - center) @ own[:3, :3].T + own[:3, 3], moved[ball], atol=2e-5)


@pytest.mark.parametrize("row", [0, 39])
def test_projection_covers_the_face_in_the_video(player, track, row):
    lens = pxr.UsdGeom.Camera(player.stage.GetPrimAtPath("/clip/camera")).GetCamera(float(track.frame[row])).frustum
    matrix = np.array(lens.ComputeViewMatrix() * lens.ComputeProjectionMatrix())
    clip = np.c_[player.points(float(track.frame[row])), np.ones(len(track.head.v_template))] @ matrix
    u, v = (clip[:, :2] / clip[:, 3:]).T
    outside = ~track.head.region_mask("eyeballs").numpy()
    found = np.stack([(1 + u) / 2 * 640, (1 - v) / 2 * 480], axis=1)[outside]
    np.testing.assert_allclose(found, track.camera(row).project(posed(track, track.arkit[row]))[outside], atol=0.05)


def test_orthographic_track_has_the_distance_of_the_assumed_focal_length(track, tmp_path):
    flat = replace(synthetic_track(track.head, 4), focal_px=None)
    save_usd(flat, tmp_path / "a.usdc")
    assert_close(flat, Player(tmp_path / "a.usdc").points(float(flat.frame[2])), placed(flat, 2))


def test_materials(player, path, track):
    subsets = pxr.UsdShade.MaterialBindingAPI(player.mesh).GetMaterialBindSubsets()
    parts = {part.name: part for part in material_parts(track.head)}
    assert [subset.GetPrim().GetName() for subset in subsets] == list(parts) == ["skin", "eyes", "mouth", "teeth"]
    for subset in subsets:
        name = subset.GetPrim().GetName()
        np.testing.assert_array_equal(subset.GetIndicesAttr().Get(), parts[name].face_index)
        material, _ = pxr.UsdShade.MaterialBindingAPI(subset).ComputeBoundMaterial()
        assert material.GetPath() == f"/clip/character/materials/{name}"
        surface, _, _ = material.ComputeSurfaceSource()
        assert surface.GetShaderId() == "UsdPreviewSurface"
        (source,), _ = surface.GetInput("diffuseColor").GetConnectedSources()
        kind = pxr.UsdShade.Shader(source.source).GetShaderId()
        assert kind == ("UsdUVTexture" if name in ("eyes", "teeth") else "UsdPrimvarReader_float3")
    for name in ("eyes", "teeth"):
        picture = player.stage.GetAttributeAtPath(f"/clip/character/materials/{name}/picture.inputs:file").Get()
        assert Path(picture.resolvedPath) == path.with_name(f"Köpfe 1_{name}.png")
        with Image.open(picture.resolvedPath) as image:
            assert np.asarray(image).std() > 20


def test_a_skin_texture_has_its_own_coordinates(open_head, tmp_path):
    own = 1 - open_head.uv.numpy()
    texture = Texture(np.full((8, 8, 3), 77, np.uint8), np.ones((8, 8), bool), own)
    written = save_usd(synthetic_track(open_head, 2), tmp_path / "a.usdc", texture)
    assert [path.name for path in written] == ["a.usdc", "a_eyes.png", "a_teeth.png", "a_skin.png"]
    with Image.open(tmp_path / "a_skin.png") as image:
        assert (np.asarray(image) == 77).all()
    player = Player(tmp_path / "a.usdc")
    st = pxr.UsdGeom.PrimvarsAPI(player.mesh).GetPrimvar("st")
    assert st.GetInterpolation() == "faceVarying"
    found = np.array(st.ComputeFlattened()).reshape(-1, 3, 2)
    expected = {"skin": own[open_head.faces_uv]} | {
        name: part_uv(open_head)[open_head.faces] for name in ("eyes", "teeth")
    }
    for part in material_parts(open_head):
        given = expected.get(part.name, open_head.uv.numpy()[open_head.faces_uv])
        np.testing.assert_array_equal(found[part.face_index], given[part.face_index])


def test_usd_checkers_report_no_errors(path):
    validation = pytest.importorskip("pxr.UsdValidation")
    checker = pxr.UsdUtils.ComplianceChecker()
    checker.CheckCompliance(str(path))
    assert [checker.GetErrors(), checker.GetFailedChecks(), checker.GetWarnings()] == [[], [], []]
    validators = validation.ValidationRegistry().GetOrLoadAllValidators()
    errors = validation.ValidationContext(validators).Validate(pxr.Usd.Stage.Open(str(path)))
    assert validators and not [error.GetErrorAsString() for error in errors]


def test_heads_with_other_parameters(tiny_data, open_head, tmp_path):
    """The shapes are the head's expression components; there is none for the residual."""
    head, still = HeadModel(tiny_data), np.zeros((6, 3), np.float32)
    track = replace(with_other_head(synthetic_track(open_head, 6), head), jaw=still, eyelids=still[:, :2])
    written = save_usd(track, tmp_path / "a.usdc")
    player = Player(tmp_path / "a.usdc")
    assert list(player.animation.GetBlendShapeOrder()) == list(head.expression_names)
    assert RESIDUAL_TARGET in morph_targets(track.face(0)).names
    assert len(written) == 1 + sum(part.name in ("eyes", "teeth") for part in material_parts(head))
    shape, expression = torch.from_numpy(track.shape), torch.from_numpy(track.expression[4])
    moved = head.expressed(head.shaped(shape), FaceParams(shape=shape, expression=expression)).vertices.numpy()
    expected = moved @ track.rotation_rotmat[4].T + track.translation_m[4]
    np.testing.assert_allclose(player.points(float(track.frame[4])), expected, atol=1e-4)


def test_another_suffix_and_a_lost_face_are_refused(track, tmp_path):
    with pytest.raises(Smirk3dError, match=r"a\.glb: unknown format '\.glb'; choose one of \.usdc"):
        save_usd(track, tmp_path / "a.glb")
    with pytest.raises(Smirk3dError, match="lost in all its frames"):
        save_usd(synthetic_track(track.head, 5, lost=slice(0, 5)), tmp_path / "a.usdc")
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file(track, tmp_path, monkeypatch):
    (tmp_path / "a.usdc").write_text("old")

    def full(*_: Any) -> None:
        raise pxr.Tf.ErrorException("no space")

    monkeypatch.setattr(pxr.Sdf.Layer, "Export", full)
    with pytest.raises(Smirk3dError, match=r"cannot write .*a\.usdc: .*no space; check space"):
        save_usd(track, tmp_path / "a.usdc")
    assert (tmp_path / "a.usdc").read_text() == "old"
    assert {path.name for path in tmp_path.iterdir()} == {"a.usdc", "a_eyes.png", "a_teeth.png"}


def test_without_the_package_the_remedy_is_named(track, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pxr", None)
    with pytest.raises(Smirk3dError, match=r"USD needs usd-core .*pip install 'smirk3d\[usd\]'"):
        save_usd(track, tmp_path / "a.usdc")
    assert not list(tmp_path.iterdir())
