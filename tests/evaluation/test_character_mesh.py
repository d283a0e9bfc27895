"""Characters from .glb files."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
import torch

from smirk3d.errors import Smirk3dError
from smirk3d.evaluation.character_mesh import EYE_DISTANCE_M, CharacterMesh, _triangles, load_character_mesh
from smirk3d.head.arkit import ARKIT_NAMES, GAZE_NAMES
from smirk3d.params import FaceParams


def blendshape(name: str) -> int:
    return ARKIT_NAMES.index(name)


def with_document(character_file: Path, path: Path, **changes) -> Path:
    """Write a .glb with other entries in its JSON."""
    content = character_file.read_bytes()
    length = struct.unpack_from("<I", content, 12)[0]
    document = {**json.loads(content[20 : 20 + length]), **changes}
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 8)
    body = struct.pack("<I4s", len(text), b"JSON") + text + content[20 + length :]
    path.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body)
    return path


def test_blendshapes_of_our_own_file_are_those_of_the_head(character: CharacterMesh, make_face) -> None:
    face = make_face({}, seed=2)
    head = face.head
    still = head(FaceParams(shape=torch.as_tensor(face.shape))).vertices
    moved = head(FaceParams(shape=torch.as_tensor(face.shape), expression=torch.eye(52))).vertices - still
    farthest, found = (each.norm(dim=2).amax(1) for each in (moved, character.directions))
    names = [name for name in ARKIT_NAMES if name not in GAZE_NAMES]
    ratios = torch.stack([found[blendshape(name)] / farthest[blendshape(name)] for name in names])
    torch.testing.assert_close(ratios, ratios[:1].expand(len(names)), rtol=0.02, atol=0)


def test_left_is_the_persons_and_eyes_are_their_distance_apart(character: CharacterMesh) -> None:
    def center(name: str) -> torch.Tensor:
        far = character.directions[blendshape(name)].norm(dim=1, keepdim=True)
        return (character.vertices * far).sum(0) / far.sum()

    left, right = center("eyeBlinkLeft"), center("eyeBlinkRight")
    assert left[0] > 0 > right[0] and center("mouthSmileLeft")[0] > 0 > center("mouthSmileRight")[0]
    assert float((left - right).norm()) == pytest.approx(EYE_DISTANCE_M, rel=1e-3)
    assert center("jawOpen")[1] < -0.02


def test_unusable_characters_are_refused(character_file: Path, tmp_path: Path) -> None:
    with pytest.raises(Smirk3dError, match=r"face.glb: no mesh is named 'eyeLeft'; it has head"):
        load_character_mesh(character_file, ("eyeLeft", "eyeRight"))
    packed = with_document(character_file, tmp_path / "packed.glb", extensionsUsed=["EXT_meshopt_compression"])
    with pytest.raises(Smirk3dError, match=r"packed.glb: is compressed with EXT_meshopt_compression; unpack it"):
        load_character_mesh(packed)


def test_a_damaged_character_is_named(character_file: Path, tmp_path: Path) -> None:
    damaged = with_document(character_file, tmp_path / "damaged.glb", bufferViews=[])
    with pytest.raises(Smirk3dError, match=r"damaged\.glb: [^\n]*"):
        load_character_mesh(damaged)


def test_triangles_without_an_index_follow_one_another() -> None:
    assert _triangles(None, {}, 6).tolist() == [[0, 1, 2], [3, 4, 5]]  # type: ignore[arg-type]
