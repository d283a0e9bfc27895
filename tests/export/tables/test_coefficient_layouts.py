"""Coefficients of other programs: jaw and eyes are found in their layouts, and what is not used is named."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from smirk3d.errors import Smirk3dError
from smirk3d.export.tables.expression_file import read_expressions
from smirk3d.export.tables.expressions import Expressions

T = 4
RANDOM = np.random.default_rng(0)
JAW = RANDOM.uniform(-0.4, 0.4, (T, 3)).astype(np.float32)
EYES = RANDOM.uniform(-0.4, 0.4, (T, 6)).astype(np.float32)
EXPRESSION = RANDOM.normal(size=(T, 50)).astype(np.float32)
OTHER = RANDOM.normal(size=(T, 90)).astype(np.float32)


def _read(tmp_path: Path, **arrays: np.ndarray) -> Expressions:
    np.savez(tmp_path / "theirs.npz", **arrays)  # type: ignore[arg-type]
    return read_expressions(tmp_path / "theirs.npz")


def _two_rows(rotvec: np.ndarray) -> np.ndarray:
    """Return rotation vectors (T, 3 J) as the first two rows of their matrices (T, 6 J)."""
    rotmat = Rotation.from_rotvec(rotvec.reshape(-1, 3)).as_matrix()
    return rotmat[:, :2].reshape(len(rotvec), -1).astype(np.float32)


def _matrices(rotvec: np.ndarray) -> np.ndarray:
    return Rotation.from_rotvec(rotvec.reshape(-1, 3)).as_matrix().reshape(len(rotvec), -1, 3, 3)


SMPLX = np.concatenate([OTHER[:, :66], JAW, EYES, OTHER], axis=1)
LAYOUTS = {
    "DECA": ({"exp": EXPRESSION, "pose": np.concatenate([OTHER[:, :3], JAW], axis=1)}, ("jaw",)),
    "EMOCA": ({"expcode": EXPRESSION, "posecode": np.concatenate([OTHER[:, :3], JAW], axis=1)}, ("jaw",)),
    "FLAME": ({"exp": EXPRESSION, "full_pose": np.concatenate([OTHER[:, :6], JAW, EYES], axis=1)}, ("jaw", "eyes")),
    "BEAT2": ({"expressions": EXPRESSION, "poses": SMPLX}, ("jaw", "eyes")),
    "joints": ({"expressions": EXPRESSION, "poses": SMPLX.reshape(T, 55, 3)}, ("jaw", "eyes")),
    "AMASS": ({"expression": EXPRESSION, "pose_jaw": JAW, "pose_eye": EYES}, ("jaw", "eyes")),
    "SMPL-X": (
        {"expression": EXPRESSION, "jaw_pose": JAW, "leye_pose": EYES[:, :3], "reye_pose": EYES[:, 3:]},
        ("jaw", "eyes"),
    ),
    "VHAP": ({"expr": EXPRESSION, "jaw_pose": JAW, "eyes_pose": EYES}, ("jaw", "eyes")),
    "6-D": ({"exp": EXPRESSION, "jaw": _two_rows(JAW), "eyes": _two_rows(EYES)}, ("jaw", "eyes")),
    "matrices": ({"exp": EXPRESSION, "jaw_pose": _matrices(JAW), "eye_pose": _matrices(EYES)}, ("jaw", "eyes")),
    "single joints": ({"exp": EXPRESSION, "jaw": JAW[:, None], "eyes": EYES.reshape(T, 2, 3)}, ("jaw", "eyes")),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_jaw_and_eyes_are_found(name: str, tmp_path: Path) -> None:
    arrays, parts = LAYOUTS[name]
    found = _read(tmp_path, **arrays).arrays
    np.testing.assert_array_equal(found["expression"], EXPRESSION)
    assert set(found) == {"expression", *parts}
    for part, wanted in (("jaw", JAW), ("eyes", EYES)):
        if part in parts:
            np.testing.assert_allclose(found[part], wanted, atol=1e-5)


def test_a_jaw_of_its_own_is_preferred(tmp_path: Path) -> None:
    found = _read(tmp_path, exp=EXPRESSION, pose=OTHER[:, :6], jaw_pose=JAW)
    np.testing.assert_array_equal(found.arrays["jaw"], JAW)
    assert found.notes == ("not used: pose",)


@pytest.mark.parametrize(
    ("arrays", "note"),
    [
        ({"pose": OTHER[:, :6], "cam": OTHER[:, :3], "tex": OTHER}, "not used: pose (all but jaw), cam, tex"),
        ({"pose": OTHER[:, :3]}, "not used: pose"),
        ({"poses": OTHER[:, :72]}, "not used: poses"),
        ({"poses": SMPLX, "trans": OTHER[:, :3]}, "not used: poses (all but jaw and eyes), trans"),
        ({"rotation": OTHER[:, :3], "neck_pose": OTHER[:, :3]}, "not used: rotation, neck_pose"),
        ({f"a{k}": OTHER for k in range(30)}, "not used: a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11 and 18 more"),
    ],
)
def test_what_is_not_used_is_named(arrays: dict[str, np.ndarray], note: str, tmp_path: Path) -> None:
    assert _read(tmp_path, exp=EXPRESSION, **arrays).notes == (note,)


def test_the_shape_of_a_body_is_not_that_of_a_head(tmp_path: Path) -> None:
    found = _read(tmp_path, expressions=EXPRESSION, poses=SMPLX, betas=np.zeros(300), mocap_frame_rate=np.array(30))
    assert "shape" not in found.arrays and "betas (shape of a body)" in found.notes[0] and found.rate_fps == 30
    assert "shape" in _read(tmp_path, expressions=EXPRESSION, jaw_pose=JAW, betas=np.zeros(300)).arrays


def test_entries_that_are_no_rotations_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Smirk3dError, match=r"'jaw' has the shape \(4, 6\) and entries that are no rotations"):
        _read(tmp_path, exp=EXPRESSION, jaw=np.zeros((T, 6)))


def _frame(path: Path, k: int = 0, **more: object) -> Path:
    """Write a frame as metrical-tracker does."""
    flame = {
        "exp": EXPRESSION[k : k + 1],
        "shape": np.arange(300, dtype=np.float32)[None],
        "tex": OTHER[:1],
        "eyes": _two_rows(EYES[k : k + 1]),
        "eyelids": np.full((1, 2), k / 8, np.float32),
        "jaw": _two_rows(JAW[k : k + 1]),
    }
    camera = {"R": np.eye(3, dtype=np.float32)[None], "fl": np.ones((1, 1), np.float32)}
    record = {"flame": flame, "camera": camera, "img_size": np.array([512, 512]), "frame_id": k}
    torch.save(record | more, path)
    return path


def test_one_frame_of_metrical_tracker(tmp_path: Path) -> None:
    found = read_expressions(_frame(tmp_path / "00000.frame"))
    assert found.frames == ("00000",)
    np.testing.assert_allclose(found.arrays["jaw"], JAW[:1], atol=1e-5)
    np.testing.assert_allclose(found.arrays["eyes"], EYES[:1], atol=1e-5)
    np.testing.assert_array_equal(found.arrays["shape"][0], np.arange(300))
    assert found.notes[0].startswith("not used: ") and {"tex", "camera"} <= set(found.notes[0][10:].split(", "))


def test_a_folder_of_frames(tmp_path: Path) -> None:
    for k in range(T):
        _frame(tmp_path / f"{k:05d}.frame", k)
    found = read_expressions(tmp_path)
    assert found.frames == ("00000", "00001", "00002", "00003")
    np.testing.assert_array_equal(found.arrays["expression"], EXPRESSION)
    np.testing.assert_allclose(found.arrays["jaw"], JAW, atol=1e-5)
    np.testing.assert_array_equal(found.arrays["eyelids"][:, 0], np.arange(T) / 8)
    assert found.arrays["shape"].shape == (T, 300)


class _Command:
    def __reduce__(self):
        return os.system, ("touch executed",)


def test_nothing_in_a_frame_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = _frame(tmp_path / "bad.frame", evil=_Command())
    with pytest.raises(Smirk3dError, match=r"bad\.frame: cannot be read as expressions"):
        read_expressions(path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", pickle.dumps({"flame": 3}, protocol=2), b"\x80\x02x" * 30])
def test_damaged_frames_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "bad.frame").write_bytes(content)
    with pytest.raises(Smirk3dError) as refused:
        read_expressions(tmp_path / "bad.frame")
    assert "bad.frame: cannot be read as expressions" in str(refused.value) and "\n" not in str(refused.value)
