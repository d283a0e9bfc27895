"""The numbers of a face as a NumPy archive or as JSON."""

from __future__ import annotations

import json
import math
import zipfile
from dataclasses import asdict, astuple
from pathlib import Path

import numpy as np

from smirk3d.assets import atomic_path
from smirk3d.face import Face
from smirk3d.head.arkit import ARKIT_NAMES

_ZIP_LEVEL = 1
"""zlib level; higher levels take longer and hardly compress coordinates any further."""


def save_npz(face: Face, path: Path) -> None:
    """Write `face_arrays` as a compressed NumPy archive that loads with `allow_pickle=False`.

    Raises:
        Smirk3dError: Writing failed.
    """
    with (
        atomic_path(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=_ZIP_LEVEL) as archive,
    ):
        for name, array in face_arrays(face).items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)


def face_arrays(face: Face) -> dict[str, np.ndarray]:
    """Return all values of a face by name: float32, and metres in the head frame, unless noted.

    - vertices, neutral_vertices: (V, 3)
    - triangles: (F, 3) int32
    - vertices_image: (V, 3) pixels, see `vertices_image`
    - shape: (S,)
    - expression: (E,)
    - expression_names: (E,) text
    - jaw: (3,) rotation vector in radians
    - eyelids: (2,) in [0, 1]
    - eyes: (6,) rotation vectors of the left and the right eyeball in radians
    - head: () text, name of the head model
    - arkit: (52,) in [0, 1] in Apple's order
    - arkit_names: (52,) text
    - rotation: (3, 3) head frame to camera frame
    - camera: (3, 4), `[u w, v w, w] = camera @ [X, 1]`
    - focal_px: (), NaN for a scaled orthographic camera
    - angles_deg: (3,) yaw, pitch, roll
    - landmarks_68: (68, 2) pixels
    - landmarks_68_head: (68, 3)
    - confidence: () in [0, 1]
    - box: (4,) pixels x0, y0, x1, y1
    - visibility: (4,) visible share of eyes, mouth, left and right half of the face, in [0, 1]
    - image_size: (2,) int32 width, height

    Raises:
        KeyError: The head has no "ibug68" landmarks.
    """
    floats = {
        "vertices": face.vertices,
        "neutral_vertices": face.neutral_vertices,
        "vertices_image": vertices_image(face),
        "landmarks_68_head": face.landmarks("ibug68", space="head"),
        **_small_fields(face),
    }
    texts = {"expression_names": np.array(face.expression_names), "arkit_names": np.array(ARKIT_NAMES)}
    texts["head"] = np.array(face.head.data.name)
    integers = {"triangles": face.triangles, "image_size": np.array(face.image_size)}
    return (
        {name: np.asarray(value, dtype=np.float32) for name, value in floats.items()}
        | {name: value.astype(np.int32) for name, value in integers.items()}
        | texts
    )


def vertices_image(face: Face) -> np.ndarray:
    """Return the mesh in image space.

    Returns:
        (V, 3) float64 pixels: x right, y down, and z increasing with the distance from the camera, 0 at the origin of
        the head, in metres times the scale of the camera.
    """
    origin_depth_m = face.camera.depth(np.zeros((1, 3)))
    depth_px = (face.camera.depth(face.vertices) - origin_depth_m) * face.camera.scale_px_per_m
    return np.concatenate([face.project(face.vertices), depth_px[:, None]], axis=1)


def save_json(face: Face, path: Path) -> None:
    """Write the values of `face_arrays` except the meshes as JSON: coefficients as objects by name, NaN as null.

    Raises:
        Smirk3dError: Writing failed.
    """
    fields = {name: _json_numbers(value) for name, value in _small_fields(face).items()}
    record = fields | {
        "expression": dict(zip(face.expression_names, fields["expression"], strict=True)),
        "arkit": dict(zip(ARKIT_NAMES, fields["arkit"], strict=True)),
        "angles_deg": dict(zip(("yaw", "pitch", "roll"), fields["angles_deg"], strict=True)),
        "visibility": dict(zip(asdict(face.visibility), fields["visibility"], strict=True)),
        "focal_px": None if face.camera.focal_px is None else fields["focal_px"],
        "image_size": list(face.image_size),
        "method": face.method,
        "residual_percent": None if math.isnan(face.residual_percent) else float(face.residual_percent),
        "head": face.head.data.name,
    }
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _small_fields(face: Face) -> dict[str, np.ndarray]:
    """Return the numeric values that are not meshes."""
    return {
        "shape": face.shape,
        "expression": face.expression,
        "arkit": np.array([face.arkit[name] for name in ARKIT_NAMES]),
        "jaw": face.jaw,
        "eyelids": face.eyelids,
        "eyes": face.eyes,
        "rotation": face.rotation,
        "angles_deg": np.array(face.angles_deg),
        "camera": face.camera.matrix,
        "focal_px": np.array(np.nan if face.camera.focal_px is None else face.camera.focal_px),
        "landmarks_68": face.landmarks("ibug68", space="image"),
        "confidence": np.array(face.confidence),
        "box": face.box_px,
        "visibility": np.array(astuple(face.visibility)),
    }


def _json_numbers(value: np.ndarray):
    """Return nested lists of numbers, rounded to the seven significant digits of float32."""
    rounded = [float(f"{number:.7g}") for number in np.asarray(value, dtype=np.float64).ravel()]
    return np.array(rounded).reshape(np.shape(value)).tolist()
