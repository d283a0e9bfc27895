from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from evaluation_faces import Silent, face_points

from smirk3d.detection.detector import Detection
from smirk3d.errors import Smirk3dError
from smirk3d.evaluation.character_accuracy import character_test_set
from smirk3d.evaluation.character_mesh import EYE_DISTANCE_M, CharacterMesh, load_character_mesh
from smirk3d.evaluation.character_renderer import CharacterRenderer
from smirk3d.evaluation.result import MeasureNotApplicableError
from smirk3d.export import save_face
from smirk3d.head.arkit import ARKIT_NAMES, GAZE_NAMES
from smirk3d.params import FaceParams


@pytest.fixture(scope="module")
def glb(make_face, tmp_path_factory) -> Path:
    return Path(save_face(make_face({}, seed=2), tmp_path_factory.mktemp("character") / "face.glb"))


@pytest.fixture(scope="module")
def mesh(glb: Path) -> CharacterMesh:
    return load_character_mesh(glb)


def action(name: str) -> int:
    return ARKIT_NAMES.index(name)


def with_document(glb: Path, path: Path, **changes) -> Path:
    """Write a .glb with other entries in its JSON."""
    content = glb.read_bytes()
    length = struct.unpack_from("<I", content, 12)[0]
    document = {**json.loads(content[20 : 20 + length]), **changes}
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 8)
    body = struct.pack("<I4s", len(text), b"JSON") + text + content[20 + length :]
    path.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body)
    return path


def test_actions_of_our_own_file_are_those_of_the_head(mesh: CharacterMesh, make_face) -> None:
    face = make_face({}, seed=2)
    head = face.head
    still = head(FaceParams(shape=torch.as_tensor(face.shape))).vertices
    moved = head(FaceParams(shape=torch.as_tensor(face.shape), expression=torch.eye(52))).vertices - still
    farthest, found = (each.norm(dim=2).amax(1) for each in (moved, mesh.directions))
    names = [name for name in ARKIT_NAMES if name not in GAZE_NAMES]
    ratios = torch.stack([found[action(name)] / farthest[action(name)] for name in names])
    torch.testing.assert_close(ratios, ratios[:1].expand(len(names)), rtol=0.02, atol=0)


def test_left_is_the_persons_and_eyes_are_their_distance_apart(mesh: CharacterMesh) -> None:
    def middle(name: str) -> torch.Tensor:
        far = mesh.directions[action(name)].norm(dim=1, keepdim=True)
        return (mesh.vertices * far).sum(0) / far.sum()

    left, right = middle("eyeBlinkLeft"), middle("eyeBlinkRight")
    assert left[0] > 0 > right[0] and middle("mouthSmileLeft")[0] > 0 > middle("mouthSmileRight")[0]
    assert float((left - right).norm()) == pytest.approx(EYE_DISTANCE_M, rel=1e-3)
    assert middle("jawOpen")[1] < -0.02


def test_pictures_show_what_the_character_can_do(mesh: CharacterMesh) -> None:
    directions = mesh.directions.clone()
    directions[action("jawOpen")] = 0
    renderer = CharacterRenderer(replace(mesh, directions=directions))
    images, weights = [], []
    for seed in range(6):
        image, truth, rotmat = renderer.sample("combination", torch.Generator().manual_seed(seed))
        images.append(image)
        weights.append(truth)
        torch.testing.assert_close(rotmat @ rotmat.T, torch.eye(3), atol=1e-5, rtol=0)
    again, _, _ = renderer.sample("combination", torch.Generator().manual_seed(5))
    assert torch.equal(images[-1], again) and not torch.equal(images[0], images[1])
    truth = torch.stack(weights)
    assert not truth[:, action("jawOpen")].any() and not truth[:, [action(name) for name in GAZE_NAMES]].any()
    assert truth.any(1).float().mean() > 0.5


def test_bad_characters_are_told(glb: Path, tmp_path: Path) -> None:
    with pytest.raises(Smirk3dError, match=r"face.glb: no mesh is named 'eyeLeft'; it has head"):
        load_character_mesh(glb, ("eyeLeft", "eyeRight"))
    packed = with_document(glb, tmp_path / "packed.glb", extensionsUsed=["EXT_meshopt_compression"])
    with pytest.raises(Smirk3dError, match=r"packed.glb: is compressed with EXT_meshopt_compression; unpack it"):
        load_character_mesh(packed)


def test_the_test_set_of_a_character(mesh: CharacterMesh) -> None:
    """A face is found in every second picture."""
    calls, display = [], Silent()

    def detect(pixels: np.ndarray) -> list[Detection]:
        calls.append(pixels)
        points = face_points(len(calls))
        found = Detection(points, points[:, 0], np.zeros(52, np.float32), np.zeros(4), 1.0)
        return [found] if len(calls) % 2 else []

    found = character_test_set(CharacterRenderer(mesh), detect, display, count=4, seed=5)
    assert (len(found), found.missed, display.count) == (2, 2, 4)
    assert np.array_equal(found.pixels[1], calls[2]) and np.array_equal(found.landmarks_px[1], face_points(3))
    with pytest.raises(MeasureNotApplicableError, match="no face was found in any of 2 pictures"):
        character_test_set(CharacterRenderer(mesh), lambda pixels: [], display, count=2, seed=5)
