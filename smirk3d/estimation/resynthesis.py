"""A face as the neural renderer paints it: from its mesh and a few pixels of the photo."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from smirk3d.detection.crop import Crop
from smirk3d.export.tables.npz import vertices_image
from smirk3d.face import Face
from smirk3d.masking import (
    MaskedPhoto,
    MaskingConfig,
    MeshView,
    in_place_samples,
    mask_face,
    match_colors,
    removal_mask,
    sample_surface_points,
    sampling_weights,
    transferred_samples,
)
from smirk3d.render.appearance.semantic_colors import semantic_colors
from smirk3d.render.rasterize import rasterize
from smirk3d.render.renderer import shade_fragments
from smirk3d.render.shading import vertex_normals

CROP_SCALE = 1.4
"""Side of the crop over the size of the face; METHOD section 7."""

PhotoRenderer = Callable[[Tensor, Tensor], Tensor]
"""Mesh image and masked photo, (B,3,H,W) each in [0,1], to the photo (B,3,H,W) in [0,1]: a `NeuralRenderer`."""


@dataclass(frozen=True, eq=False)
class Resynthesis:
    """A re-synthesised face and what it was made from; pictures are (S, S, 3) uint8 RGB, S as the renderer learned.

    Attributes:
        photo: The re-synthesised crop.
        crop_pixels: The crop of the photo.
        mesh_image: The shaded mesh, the first input of the neural renderer.
        seen: What the neural renderer saw of the photo, its second input.
        crop: Where in the photo.
    """

    photo: np.ndarray
    crop_pixels: np.ndarray
    mesh_image: np.ndarray
    seen: np.ndarray
    crop: Crop


@dataclass(frozen=True)
class _CropMesh:
    """The face's mesh in its crop. `image`: (1,3,H,W) shaded, `mask`: (1,1,H,W) bool, `view`: one mesh."""

    image: Tensor
    mask: Tensor
    view: MeshView


def resynthesise(
    renderer: PhotoRenderer,
    face: Face,
    image: np.ndarray,
    *,
    changed: Face | None = None,
    seed: int = 0,
    as_seen: bool = True,
) -> Resynthesis:
    """Paint a reconstructed face anew, as it is or with another expression.

    The neural renderer sees what it sees in the first path of training, but no patch is dropped: that is
    augmentation. A module is put into evaluation mode meanwhile.

    Args:
        renderer: A `NeuralRenderer`, or any other callable of its kind; a module is called on its own device.
        face: Its head has "mediapipe" landmarks.
        image: (H, W, 3) uint8 RGB, the photo of the face.
        changed: The same face with another expression, see `Face.with_arkit`; pixels of the photo move along.
        seed: Of the sampled pixels and their noise.
        as_seen: Draw the painted colours to those of the seen pixels, see `match_colors`; else they are the network's.

    Returns:
        Resynthesis.

    Raises:
        ValueError: `image` has not the size that the face was found in, or the crop is less than a pixel.
        KeyError: The head has no "mediapipe" landmarks.
    """
    height, width = image.shape[:2]
    if face.image_size != (width, height):
        raise ValueError(f"the face is from a photo of size {face.image_size}, not {(width, height)}")
    crop = Crop.from_landmarks(face.landmarks("mediapipe"), CROP_SCALE, getattr(renderer, "size_px", 224))
    photo = crop.cut(image)[None]
    original = _draw_in_crop(face, crop)
    mesh = original if changed is None else _draw_in_crop(changed, crop)
    seen = _seen_photo(face, crop, photo, (original, mesh), torch.Generator().manual_seed(seed))
    with torch.no_grad(), _evaluating(renderer):
        device = _device(renderer)
        painted = renderer(mesh.image.to(device), seen.image.to(device)).float().cpu()
    if as_seen:
        painted = match_colors(painted, seen, mesh.mask)
    return Resynthesis(_pixels(painted), _pixels(photo), _pixels(mesh.image), _pixels(seen.image), crop)


def strip(result: Resynthesis) -> np.ndarray:
    """Lay the pictures side by side, (S, 4 S, 3) uint8: crop | mesh | seen | result."""
    return np.concatenate([result.crop_pixels, result.mesh_image, result.seen, result.photo], axis=1)


def _draw_in_crop(face: Face, crop: Crop) -> _CropMesh:
    """Draw the face under its own camera, lit as by `smirk3d.render.Renderer`, see `smirk3d.render.appearance.semantic_colors`."""
    look = semantic_colors(face.head)
    faces = look.faces.cpu()
    vertices_ndc = _vertices_ndc(face, crop)
    w = None
    if face.camera.focal_px is not None:
        w = torch.from_numpy(face.camera.depth(face.vertices)).float()[None]
    fragments = rasterize(vertices_ndc, faces, crop.size, w=w)
    turned = torch.from_numpy(face.vertices @ face.rotation.T).float()[None]
    grey = shade_fragments(fragments, vertex_normals(turned, faces), faces)[:, 3:]
    view = MeshView(vertices_ndc, fragments.depth[:, None])
    image = look.put_on(fragments, grey.expand(-1, 3, -1, -1))
    return _CropMesh(image, fragments.mask[:, None], view)


def _vertices_ndc(face: Face, crop: Crop) -> Tensor:
    """(1,V,3) the mesh in the crop's image space; depth on the scale of x at the head's distance."""
    in_photo = vertices_image(face)
    xy = crop.to_ndc(crop.to_crop(in_photo[:, :2]))
    z = in_photo[:, 2:] * (crop.scale * 2 / crop.size)
    return torch.from_numpy(np.concatenate([xy, z], axis=1)).float()[None]


def _seen_photo(
    face: Face, crop: Crop, photo: Tensor, meshes: tuple[_CropMesh, _CropMesh], generator: torch.Generator
) -> MaskedPhoto:
    """Mask the photo as in training; `meshes` are as the photo shows the face, and as it will be painted."""
    original, mesh = meshes
    config = MaskingConfig().scaled(crop.size)
    landmarks_ndc = crop.to_ndc(crop.to_crop(face.landmarks("mediapipe")))
    removed = removal_mask(torch.from_numpy(landmarks_ndc)[None], mesh.mask, config.dilation_px)
    faces, count = face.head.faces.cpu(), config.sample_count(crop.size)
    weights = sampling_weights(face.head).cpu()
    points = sample_surface_points(original.view.vertices_ndc, faces, weights, count, generator)
    in_place = mesh is original
    samples = (
        in_place_samples(points, mesh.view, faces)
        if in_place
        else transferred_samples(points, original.view, mesh.view, faces)
    )
    return mask_face(photo, removed, samples, generator, drop_probability=0.0, config=config)


@contextmanager
def _evaluating(renderer: PhotoRenderer) -> Iterator[None]:
    """Put all parts of a module into evaluation mode, and each back into its own."""
    modules = list(renderer.modules()) if isinstance(renderer, nn.Module) else []
    modes = [module.training for module in modules]
    try:
        for module in modules:
            module.training = False
        yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode


def _device(renderer: PhotoRenderer) -> torch.device:
    first = next(renderer.parameters(), None) if isinstance(renderer, nn.Module) else None
    return torch.device("cpu") if first is None else first.device


def _pixels(picture: Tensor) -> np.ndarray:
    """(H, W, 3) uint8 of (1,3,H,W) in [0,1]."""
    return (picture[0].float().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
