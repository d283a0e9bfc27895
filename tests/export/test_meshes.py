from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh

from smirk3d.errors import Smirk3dError
from smirk3d.export import FORMATS, save_face
from smirk3d.export.meshes import save_ply
from smirk3d.head import registry
from smirk3d.render.appearance.face_appearance import FaceAppearance
from smirk3d.render.appearance.face_colors import head_colors
from smirk3d.render.appearance.materials import eye_texture, eye_uv, material_parts, srgb_to_linear, vertex_colors
from smirk3d.render.appearance.skin_layout import TEXTURE_SIZE


@pytest.fixture(scope="module")
def face(make_face):
    return make_face(seed=1)


def parse_obj(path: Path) -> tuple[np.ndarray, np.ndarray]:
    lines = [line.split() for line in path.read_text().splitlines()]
    vertices = [[float(x) for x in line[1:4]] for line in lines if line and line[0] == "v"]
    faces = [[int(x.split("/")[0]) for x in line[1:]] for line in lines if line and line[0] == "f"]
    return np.array(vertices), np.array(faces)


def parse_ply(path: Path) -> tuple[np.ndarray, np.ndarray]:
    header, body = path.read_bytes().split(b"end_header\n", 1)
    sizes = {"float": "<f4", "uchar": "u1", "int": "<i4"}
    counts, fields = {}, {}
    for line in header.decode().splitlines():
        words = line.split()
        if words[0] == "element":
            element = words[1]
            counts[element], fields[element] = int(words[2]), []
        elif words[0] == "property" and words[1] != "list":
            fields[element].append((words[2], sizes[words[1]]))
    vertices = np.frombuffer(body, np.dtype(fields["vertex"]), counts["vertex"])
    offset = counts["vertex"] * vertices.itemsize
    faces = np.frombuffer(body, np.dtype([("n", "u1"), ("v", "<i4", 3)]), counts["face"], offset)
    assert (faces["n"] == 3).all()
    return vertices, faces["v"]


def test_obj_keeps_order_and_counts_from_one(face, tmp_path):
    path = save_face(face, tmp_path / "face.obj")
    vertices, faces = parse_obj(path)
    np.testing.assert_allclose(vertices, face.vertices, atol=1e-7)
    np.testing.assert_array_equal(faces - 1, face.triangles)
    loaded = trimesh.load_mesh(path, process=False, maintain_order=True)
    np.testing.assert_allclose(loaded.vertices, face.vertices, atol=1e-7)


def test_obj_and_ply_wear_the_appearance(face, open_head, tmp_path):
    dark = replace(face, head_id=registry.register(open_head)).with_appearance(FaceAppearance(skin=(0.3, 0.2, 0.15)))
    loaded = trimesh.load_mesh(dark.save(tmp_path / "face.obj"), process=False, maintain_order=True)
    np.testing.assert_allclose(loaded.vertices, face.vertices, atol=1e-7)
    expected = head_colors(open_head, dark.appearance)
    np.testing.assert_allclose(loaded.visual.vertex_colors[:, :3] / 255, expected, atol=0.005)
    vertices, _ = parse_ply(dark.save(tmp_path / "face.ply"))
    colors = np.stack([vertices[name] for name in ("red", "green", "blue")], axis=1) / 255
    np.testing.assert_allclose(colors, expected, atol=0.003)


def test_gltf_wears_the_appearance(face, open_head, tmp_path):
    dark = replace(face, head_id=registry.register(open_head)).with_appearance(FaceAppearance(skin=(0.3, 0.2, 0.15)))
    meshes = trimesh.load(dark.save(tmp_path / "face.glb"), process=False).geometry.values()
    (skin,) = [mesh for mesh in meshes if mesh.visual.material.name == "skin"]
    image = np.asarray(skin.visual.material.baseColorTexture, dtype=float) / 255
    assert image.shape == (*TEXTURE_SIZE, 3)
    columns, rows = (skin.visual.uv * (1, -1) + (0, 1)).T * np.array(TEXTURE_SIZE[::-1])[:, None]
    shown = image[rows.astype(int).clip(0, TEXTURE_SIZE[0] - 1), columns.astype(int).clip(0, TEXTURE_SIZE[1] - 1)]
    np.testing.assert_allclose(np.median(shown, axis=0), [0.3, 0.2, 0.15], atol=0.12)


def test_ply_keeps_order_and_has_colors(face, tmp_path):
    path = save_face(face, tmp_path / "face.ply")
    vertices, faces = parse_ply(path)
    np.testing.assert_array_equal(np.stack([vertices[axis] for axis in "xyz"], axis=1), face.vertices)
    np.testing.assert_array_equal(faces, face.triangles)
    assert {"red", "green", "blue"} <= set(vertices.dtype.names or ())
    loaded = trimesh.load_mesh(path, process=False)
    np.testing.assert_array_equal(loaded.faces, face.triangles)


def test_ply_takes_other_colors(face, tmp_path):
    colors = np.random.default_rng(0).integers(0, 256, face.vertices.shape).astype(np.uint8)
    save_ply(face, tmp_path / "face.ply", colors)
    vertices, _ = parse_ply(tmp_path / "face.ply")
    stored = np.stack([vertices[name] for name in ("red", "green", "blue")], axis=1)
    np.testing.assert_array_equal(stored, colors)


def test_unknown_suffix_lists_the_known(face, tmp_path):
    with pytest.raises(Smirk3dError, match=r"\.fbx.*\.glb \.gltf \.obj \.ply \.npz \.json"):
        save_face(face, tmp_path / "face.fbx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [*FORMATS, ".OBJ"])
def test_folders_are_made_and_nothing_else_is_left(face, tmp_path, suffix):
    path = save_face(face, tmp_path / "new/folder" / f"face{suffix}")
    assert [entry for entry in path.parent.iterdir()] == [path]


def test_a_file_in_place_of_the_folder_is_a_one_line_error(face, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(Smirk3dError, match="taken") as error:
        save_face(face, tmp_path / "taken/face.obj")
    assert "\n" not in str(error.value)


def test_texture_only_in_formats_that_hold_one(face, tmp_path):
    with pytest.raises(Smirk3dError, match="texture"):
        save_face(face, tmp_path / "face.obj", texture=object())  # type: ignore[arg-type]
    assert not os.listdir(tmp_path)


def test_parts_are_a_partition(open_head):
    parts = material_parts(open_head)
    together = np.sort(np.concatenate([part.face_index for part in parts]))
    np.testing.assert_array_equal(together, np.arange(len(open_head.faces)))
    assert [part.name for part in parts] == ["skin", "eyes", "mouth", "teeth"]


def test_colors_are_symmetric_and_in_range(open_head):
    colors = vertex_colors(open_head)
    assert colors.shape == (len(open_head.v_template), 3) and colors.dtype == np.float32
    assert colors.min() >= 0 and colors.max() <= 1
    np.testing.assert_allclose(colors, colors[open_head.data.mirror_vertices.numpy()], atol=0.1)


def test_pupil_is_in_front(open_head):
    picture, uv = eye_texture(256), eye_uv(open_head)
    assert picture[127, 127].max() < 20
    assert (picture[0, 0] == 255).all()
    mask = open_head.region_mask("left_eyeball").numpy()
    front = np.flatnonzero(mask)[open_head.v_template[mask][:, 2].argmax()]
    back = np.flatnonzero(mask)[open_head.v_template[mask][:, 2].argmin()]
    assert np.linalg.norm(uv[front] - 0.5) < 0.06
    assert np.linalg.norm(uv[back] - 0.5) > 0.45
    assert (uv[~open_head.region_mask("eyeballs").numpy()] == 0).all()


def test_srgb_to_linear_at_known_values():
    np.testing.assert_allclose(srgb_to_linear(np.array([0.0, 0.5, 1.0])), [0, 0.21404114, 1], atol=1e-7)
