"""glTF files, read back without the writer: header, JSON and accessors."""

from __future__ import annotations

import base64
import json
import os
import shutil
import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from smirk3d.export import save_face
from smirk3d.export.gltf.morph_targets import RESIDUAL_TARGET, morph_targets
from smirk3d.export.texture import Texture
from smirk3d.face import Face
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.head.registry import register
from smirk3d.render.appearance.materials import material_parts

COMPONENTS = {5123: np.uint16, 5125: np.uint32, 5126: np.float32}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3}


class Document:
    def __init__(self, path: Path) -> None:
        content = path.read_bytes()
        if path.suffix == ".gltf":
            self.json = json.loads(content)
            self.buffer = base64.b64decode(self.json["buffers"][0]["uri"].split(",", 1)[1])
            return
        magic, version, total, length, kind = struct.unpack_from("<4sII I4s", content)
        assert (magic, version, total, kind) == (b"glTF", 2, len(content), b"JSON")
        self.json = json.loads(content[20 : 20 + length])
        self.buffer = content[28 + length :]

    def read(self, view: int, offset: int, dtype: type, count: int, width: int) -> np.ndarray:
        start = self.json["bufferViews"][view].get("byteOffset", 0) + offset
        return np.frombuffer(self.buffer, dtype, count * width, start).reshape(count, width)

    def accessor(self, index: int) -> np.ndarray:
        a = self.json["accessors"][index]
        dtype, width = COMPONENTS[a["componentType"]], WIDTHS[a["type"]]
        values = np.zeros((a["count"], width), dtype)
        if "bufferView" in a:
            values[:] = self.read(a["bufferView"], a.get("byteOffset", 0), dtype, a["count"], width)
        if "sparse" in a:
            s, i, v = a["sparse"], a["sparse"]["indices"], a["sparse"]["values"]
            rows = self.read(i["bufferView"], i.get("byteOffset", 0), COMPONENTS[i["componentType"]], s["count"], 1)
            values[rows[:, 0]] = self.read(v["bufferView"], v.get("byteOffset", 0), dtype, s["count"], width)
        return values


@pytest.fixture(scope="module")
def face(make_face):
    return make_face({"mouthSmileLeft": 0.8, "jawOpen": 0.4, "eyeLookOutLeft": 0.5}, seed=2)


@pytest.fixture(scope="module", params=[".glb", ".gltf"])
def document(face, request, tmp_path_factory) -> Document:
    return Document(save_face(face, tmp_path_factory.mktemp("gltf") / f"face{request.param}"))


def corner_points(document: Document, weights: np.ndarray) -> np.ndarray:
    """Triangle corners (F, 3, 3) of all primitives with morph weights applied."""
    corners = []
    for primitive in document.json["meshes"][0]["primitives"]:
        points = document.accessor(primitive["attributes"]["POSITION"]).astype(np.float64)
        for weight, target in zip(weights, primitive["targets"], strict=True):
            if weight:
                points = points + weight * document.accessor(target["POSITION"])
        corners.append(points[document.accessor(primitive["indices"]).reshape(-1, 3).astype(int)])
    return np.concatenate(corners)


def test_targets_are_named_and_weighted(document, face):
    mesh = document.json["meshes"][0]
    assert tuple(mesh["extras"]["targetNames"]) == ARKIT_NAMES
    np.testing.assert_allclose(mesh["weights"], face.expression, atol=1e-6)
    assert {len(primitive["targets"]) for primitive in mesh["primitives"]} == {52}


def expected_corners(face: Face, vertices: np.ndarray) -> np.ndarray:
    """Triangle corners (F, 3, 3) in the order of the primitives, each of which keeps the head's order."""
    return vertices[face.triangles[np.concatenate([part.face_index for part in material_parts(face.head)])]]


def test_base_mesh_is_the_neutral_face(document, face):
    found = corner_points(document, np.zeros(52))
    np.testing.assert_array_equal(found, expected_corners(face, face.neutral_vertices))


def test_weights_reproduce_the_face_except_for_eye_rotations(document, face):
    error = np.abs(corner_points(document, face.expression) - expected_corners(face, face.vertices))
    eyes = expected_corners(face, face.head.region_mask("eyeballs").numpy()).all(axis=1)
    assert error[~eyes].max() < 1e-4  # lids follow the eyeballs a little
    assert error[eyes].max() < 5e-4


def test_each_material_has_a_primitive(document, face):
    primitives = document.json["meshes"][0]["primitives"]
    names = [document.json["materials"][primitive["material"]]["name"] for primitive in primitives]
    assert names == ["skin", "eyes", "mouth", "teeth"]
    counts = [document.json["accessors"][primitive["indices"]]["count"] // 3 for primitive in primitives]
    assert counts == [len(part.face_index) for part in material_parts(face.head)]
    assert ["COLOR_0" in primitive["attributes"] for primitive in primitives] == [True, False, True, False]


def test_gaze_moves_the_eyeballs(face):
    targets = morph_targets(face)
    left = face.head.region_mask("left_eyeball").numpy()
    moved = np.linalg.norm(targets.offsets[ARKIT_NAMES.index("eyeLookOutLeft")], axis=1)
    assert moved[left].max() > 0.003
    front = left & (face.neutral_vertices[:, 2] > face.neutral_vertices[left, 2].max() - 0.002)
    assert (targets.offsets[ARKIT_NAMES.index("eyeLookOutLeft")][front, 0] > 0).all()


def test_normals_are_unit_and_point_out(document, face):
    primitive = document.json["meshes"][0]["primitives"][0]
    normals = document.accessor(primitive["attributes"]["NORMAL"])
    positions = document.accessor(primitive["attributes"]["POSITION"])
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)
    forehead = positions[:, 1] > np.quantile(positions[:, 1], 0.97)
    assert normals[forehead, 1].mean() > 0.5


def test_seams_split_vertices(document, face):
    primitive = document.json["meshes"][0]["primitives"][0]
    positions = document.accessor(primitive["attributes"]["POSITION"])
    assert len(positions) > len(np.unique(positions, axis=0))
    uv = document.accessor(primitive["attributes"]["TEXCOORD_0"])
    assert uv.min() >= 0 and uv.max() <= 1


def test_pose_is_in_the_extras_and_the_node_stands_upright(document, face):
    node = document.json["nodes"][0]
    assert not {"matrix", "rotation", "translation", "scale"} & set(node)
    assert node["extras"]["yaw_deg"] == pytest.approx(face.angles_deg[0], abs=1e-3)
    x, y, z, w = node["extras"]["rotation_quaternion"]
    third = [2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)]
    np.testing.assert_allclose(face.rotation[:, 2], third, atol=1e-5)
    assert document.json["asset"]["generator"] == "smirk3d"
    assert "CC0" in document.json["asset"]["extras"]["licence"]


def test_other_libraries_read_the_file(face, tmp_path):
    pygltflib, trimesh = pytest.importorskip("pygltflib"), pytest.importorskip("trimesh")
    path = save_face(face, tmp_path / "face.glb")
    assert len(pygltflib.GLTF2().load(str(path)).meshes) == 1
    scene = trimesh.load(path)
    assert sum(len(mesh.faces) for mesh in scene.geometry.values()) == len(face.triangles)


def test_every_accessor_has_a_buffer_view(document):
    """It may be left out where all values are zero, but common readers refuse the file then."""
    assert all("bufferView" in accessor for accessor in document.json["accessors"])


@pytest.mark.parametrize("suffix", [".glb", ".gltf"])
def test_assimp_reads_the_file(suffix, face, tmp_path):
    assimp = pytest.importorskip("assimp_py")
    path = save_face(face, tmp_path / f"face{suffix}")
    meshes = assimp.import_file(str(path), assimp.Process_Triangulate | assimp.Process_JoinIdenticalVertices).meshes
    assert sum(mesh.num_faces for mesh in meshes) == len(face.triangles)
    points = np.concatenate([np.asarray(mesh.vertices).reshape(-1, 3) for mesh in meshes])
    np.testing.assert_allclose(points.min(axis=0), face.neutral_vertices.min(axis=0), atol=1e-6)


def test_heads_with_a_jaw_joint_reach_the_face_exactly(face):
    data = replace(face.head.data, jaw_readout=None)
    jawed = replace(face, head_id=register(HeadModel(data)), vertices=face.vertices + np.float32(0.001))
    targets = morph_targets(jawed)
    assert targets.names[-1] == RESIDUAL_TARGET
    reached = jawed.neutral_vertices + np.tensordot(targets.weights, targets.offsets, axes=1)
    np.testing.assert_allclose(reached, jawed.vertices, atol=1e-5)


def test_validator_reports_no_errors(face, tmp_path):
    folder = os.environ.get("GLTF_VALIDATOR", ".")
    if shutil.which("node") is None or not (Path(folder) / "node_modules/gltf-validator").is_dir():
        pytest.skip("needs node and the npm package gltf-validator (folder in GLTF_VALIDATOR)")
    size = 16
    uv = face.head.uv.numpy()
    texture = Texture(np.full((size, size, 3), 128, np.uint8), np.ones((size, size), bool), uv)
    files = [save_face(face, tmp_path / "a.glb"), save_face(face, tmp_path / "b.gltf", texture=texture)]
    script = Path(__file__).parents[2] / "conformance/validate_gltf.mjs"
    result = subprocess.run(["node", script, *files], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
