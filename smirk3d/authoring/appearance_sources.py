"""MakeHuman's pictures of skins, brows and eyes (CC0), read onto the texture layout of the open head.

The skins belong to the layout of the base mesh, which the open head keeps. A proxy is a mesh, such as a pair of brows,
whose vertices are bound to three vertices of the base mesh each.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from smirk3d.assets import printable
from smirk3d.authoring.makehuman import load_makehuman
from smirk3d.errors import Smirk3dError
from smirk3d.head.model import HeadModel
from smirk3d.render.appearance.materials import material_parts
from smirk3d.render.appearance.skin_layout import skin_uv
from smirk3d.render.fragments import Fragments
from smirk3d.render.rasterize import rasterize

SUPERSAMPLE = 3
"""Samples along a side of a texel for hairs, which are finer than texels."""


@dataclass(frozen=True, eq=False)
class Skin:
    """One of MakeHuman's skins on the texture layout.

    Attributes:
        name: Name of its file.
        is_female: Whether it is made for women.
        age: 0 for young, 1 for middle-aged, 2 for old.
        is_dark: Whether it is made for dark-skinned people.
        colors: (N, 3) float32 sRGB in [0, 1] of the covered texels.
    """

    name: str
    is_female: bool
    age: int
    is_dark: bool
    colors: np.ndarray


class TexelMap:
    """The texels that the skin of a head covers, and the surface points that they show.

    Args:
        head: The open head.
        size: Height and width of the texture in pixels.

    Attributes:
        size: As above.
        covered: (H, W) bool, N of them true.
        points: (N, 3) float64, metres on the mean head.
    """

    def __init__(self, head: HeadModel, size: tuple[int, int]) -> None:
        self.head, self.size = head, size
        skin = material_parts(head)[0].face_index
        self._faces, self._faces_uv = head.faces.cpu().numpy()[skin], head.faces_uv.cpu().numpy()[skin]
        fragments = _rasterize_uv(skin_uv(head), self._faces_uv, size)
        self.covered = fragments.mask[0].numpy()
        self._row = fragments.face_index[0].numpy()[self.covered]
        self._barycentric = fragments.barycentric[0].numpy()[self.covered]
        self.points = self.at_vertices(head.v_template.detach().cpu().numpy())

    def at_vertices(self, values: np.ndarray) -> np.ndarray:
        """Interpolate values of the vertices (V, C) at the texels, (N, C)."""
        return (values[self._faces[self._row]] * self._barycentric[..., None]).sum(1)

    def sample(self, image: np.ndarray) -> np.ndarray:
        """Sample a picture (H, W, C) in the head's own layout at the texels, (N, C) float32."""
        uv = (self.head.uv.cpu().numpy()[self._faces_uv[self._row]] * self._barycentric[..., None]).sum(1)
        return _sample(image, uv)

    def image(self, values: np.ndarray) -> np.ndarray:
        """Return values (N, C) of the texels as an image (H, W, C) float32; uncovered texels get the nearest value."""
        import cv2

        result = np.zeros((*self.size, values.shape[1]), dtype=np.float32)
        result[self.covered] = values
        holes = (~self.covered).astype(np.uint8)
        _, label = cv2.distanceTransformWithLabels(holes, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
        label = np.asarray(label, dtype=np.int64)
        source = np.zeros(int(label.max()) + 1, dtype=np.int64)
        source[label[self.covered]] = np.flatnonzero(self.covered)
        return result.reshape(-1, values.shape[1])[source[label]]


def read_skins(folder: Path, texels: TexelMap) -> list[Skin]:
    """Read all skins below a folder, in the order of their names.

    Args:
        folder: The folder `skins`.
        texels: The texels to sample.

    Raises:
        Smirk3dError: There are none.
    """
    found = []
    for path in sorted(folder.glob("*/*_diffuse*.jpg")):
        colors = texels.sample(np.asarray(Image.open(path).convert("RGB"), dtype=np.float32) / 255)
        age = next(k for k, name in enumerate(("young", "middleage", "old")) if path.name.startswith(name))
        found.append(Skin(path.stem, "_female" in path.name, age, "_darkskinned" in path.name, colors))
    if not found:
        raise Smirk3dError(f"{printable(folder)}: holds no skins; name the folder with MakeHuman's CC0 files")
    return found


def bake_proxy(folder: Path, texels: TexelMap) -> np.ndarray:
    """Bake the opacity of a proxy, seen straight onto the skin, into the texels.

    Args:
        folder: Folder of the proxy, which holds files of the same name: .mhclo, .obj and a .webp picture.
        texels: The texels.

    Returns:
        (H, W) float32 in [0, 1].
    """
    name = folder / folder.name
    position = _bound_uv(name.with_suffix(".mhclo"), texels.head)
    uv, faces, faces_uv = _read_obj(name.with_suffix(".obj"))
    height, width = (SUPERSAMPLE * n for n in texels.size)
    fragments = _rasterize_uv(position, faces, (height, width))
    covered = fragments.mask[0].numpy()
    row = fragments.face_index[0].numpy()[covered]
    at = (uv[faces_uv[row]] * fragments.barycentric[0].numpy()[covered][..., None]).sum(1)
    alpha = np.asarray(Image.open(name.with_suffix(".webp")).convert("RGBA"), dtype=np.float32)[..., 3:] / 255
    opacity = np.zeros((height, width), dtype=np.float32)
    opacity[covered] = _sample(alpha, at)[:, 0]
    return opacity.reshape(texels.size[0], SUPERSAMPLE, texels.size[1], SUPERSAMPLE).mean(axis=(1, 3))


def _rasterize_uv(uv: np.ndarray, faces: np.ndarray, size: tuple[int, int]) -> Fragments:
    corners = np.concatenate([uv * (2, -2) + (-1, 1), np.zeros((len(uv), 1))], axis=1)
    return rasterize(torch.from_numpy(corners[None]).float(), torch.from_numpy(faces.astype(np.int64)), size)


def _sample(image: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Sample an image (H, W, C) at texture coordinates (N, 2), v upwards."""
    grid = torch.from_numpy(uv * (2, -2) + (-1, 1)).float()[None, None]
    picture = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).float()[None]
    return functional.grid_sample(picture, grid, padding_mode="border", align_corners=False)[0, :, 0].T.numpy()


def _bound_uv(path: Path, head: HeadModel) -> np.ndarray:
    """Return the place (P, 2) on the skin's texture of each vertex of a proxy."""
    body_index = load_makehuman().topology.body_index
    own = np.full(body_index.max() + 1, -1)
    own[body_index] = np.arange(len(body_index))
    uv_row = np.zeros(len(body_index), dtype=np.int64)
    uv_row[head.faces.cpu().numpy()] = head.faces_uv.cpu().numpy()
    lines = path.read_text().split("verts 0\n", 1)[1].splitlines()
    rows = [line.split() for line in lines]
    rows = np.array([row[:6] for row in rows if len(row) == 9 and row[0].isdigit()], dtype=np.float64)
    corner_uv = skin_uv(head)[uv_row[own[rows[:, :3].astype(np.int64)]]]
    return (corner_uv * rows[:, 3:, None]).sum(1)


def _read_obj(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return texture coordinates (T, 2), and vertex and texture rows (F, 3) of the triangles, of a mesh of quads."""
    uv, quads = [], []
    for line in path.read_text().splitlines():
        keyword, *values = line.split() or [""]
        if keyword == "vt":
            uv.append([float(value) for value in values[:2]])
        elif keyword == "f":
            corners = [[int(index) - 1 for index in corner.split("/")[:2]] for corner in values]
            quads += [[corners[0], corners[k], corners[k + 1]] for k in range(1, len(corners) - 1)]
    table = np.array(quads)
    return np.array(uv), table[..., 0], table[..., 1]
