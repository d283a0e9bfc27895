"""Re-synthesis of a face by the neural renderer, from its mesh and a few pixels of the photo."""

# torch's own annotations are incomplete.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable, Generator
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
"""Side of the crop over the size of the face, as in the released SMIRK code."""

PhotoRenderer = Callable[[Tensor, Tensor], Tensor]
"""A `NeuralRenderer`, or a function like it: mesh image and masked photo, (B, 3, H, W) in [0, 1], to the photo."""


@dataclass(frozen=True, eq=False)
class Resynthesis:
    """A re-synthesised face and its inputs; images are (S, S, 3) uint8 RGB, S as the renderer was trained.

    Attributes:
        photo: The re-synthesised crop.
        crop_pixels: The crop of the photo.
        mesh_image: The shaded mesh, the first input of the neural renderer.
        masked_photo: The masked photo with the sampled pixels, the second input of the neural renderer.
        crop: The crop in the photo.
    """

    photo: np.ndarray
    crop_pixels: np.ndarray
    mesh_image: np.ndarray
    masked_photo: np.ndarray
    crop: Crop


@dataclass(frozen=True)
class _CropMesh:
    """The face's mesh in its crop.

    Attributes:
        image: (1, 3, H, W) shaded mesh in [0, 1].
        mask: (1, 1, H, W) bool, where the mesh is.
        view: Its vertices and depth.
    """

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
    adjust_colors: bool = True,
) -> Resynthesis:
    """Render a reconstructed face by the neural renderer, as it is or with another expression.

    The inputs are those of the reconstruction path of training (Retsinas et al., "3D Facial Expressions through
    Analysis-by-Neural-Synthesis", CVPR 2024), but without dropped patches, which are augmentation. A module is in
    evaluation mode during the call.

    Args:
        renderer: A `NeuralRenderer`, or any other callable of its kind; a module is called on its own device.
        face: The face; its head has "mediapipe" landmarks.
        image: (H, W, 3) uint8 RGB in [0, 255], the photo of the face.
        changed: The same face with another expression, see `Face.with_arkit`; sampled pixels move with the mesh.
        seed: Seed of the sampled pixels and their noise.
        adjust_colors: Match the rendered colors to the visible pixels, see `match_colors`; otherwise they are as the
            network renders them.

    Raises:
        ValueError: The size of `image` is not that of the face's photo, or the crop is smaller than a pixel.
        KeyError: The head has no "mediapipe" landmarks.
    """
    height, width = image.shape[:2]
    if face.image_size != (width, height):
        raise ValueError(f"the face is from a photo of size {face.image_size}, not {(width, height)}")
    crop = Crop.from_landmarks(face.landmarks("mediapipe"), CROP_SCALE, getattr(renderer, "size_px", 224))
    photo = crop.cut(image)[None]
    original = _draw_in_crop(face, crop)
    mesh = original if changed is None else _draw_in_crop(changed, crop)
    masked = _mask_photo(face, crop, photo, (original, mesh), torch.Generator().manual_seed(seed))
    with torch.no_grad(), _evaluating(renderer):
        device = _device(renderer)
        rendered = renderer(mesh.image.to(device), masked.image.to(device)).float().cpu()
    if adjust_colors:
        rendered = match_colors(rendered, masked, mesh.mask)
    return Resynthesis(_pixels(rendered), _pixels(photo), _pixels(mesh.image), _pixels(masked.image), crop)


def side_by_side(result: Resynthesis) -> np.ndarray:
    """Return crop, mesh, masked photo and re-synthesised photo in one image, (S, 4 S, 3) uint8."""
    return np.concatenate([result.crop_pixels, result.mesh_image, result.masked_photo, result.photo], axis=1)


def _draw_in_crop(face: Face, crop: Crop) -> _CropMesh:
    """Render the face under its own camera, with the shading of `Renderer` and the colors of `semantic_colors`."""
    colors = semantic_colors(face.head)
    faces = colors.faces.cpu()
    vertices_ndc = _vertices_ndc(face, crop)
    w = None
    if face.camera.focal_px is not None:
        w = torch.from_numpy(face.camera.depth(face.vertices)).float()[None]
    fragments = rasterize(vertices_ndc, faces, crop.size, w=w)
    rotated = torch.from_numpy(face.vertices @ face.rotation.T).float()[None]
    grey = shade_fragments(fragments, vertex_normals(rotated, faces), faces)[:, 3:]
    view = MeshView(vertices_ndc, fragments.depth[:, None])
    image = colors.apply(fragments, grey.expand(-1, 3, -1, -1))
    return _CropMesh(image, fragments.mask[:, None], view)


def _vertices_ndc(face: Face, crop: Crop) -> Tensor:
    """Return the mesh in the crop's NDC, (1, V, 3), with depth on the scale of x at the head's distance."""
    in_photo = vertices_image(face)
    xy = crop.to_ndc(crop.to_crop(in_photo[:, :2]))
    z = in_photo[:, 2:] * (crop.scale * 2 / crop.size)
    return torch.from_numpy(np.concatenate([xy, z], axis=1)).float()[None]


def _mask_photo(
    face: Face, crop: Crop, photo: Tensor, meshes: tuple[_CropMesh, _CropMesh], generator: torch.Generator
) -> MaskedPhoto:
    """Mask the photo as in training; the meshes are those of the face in the photo and of the face to render."""
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
def _evaluating(renderer: PhotoRenderer) -> Generator[None]:
    """Put all submodules of a module into evaluation mode, and each back into its own mode."""
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


def _pixels(image: Tensor) -> np.ndarray:
    """Return (H, W, 3) uint8 of (1, 3, H, W) in [0, 1]."""
    return (image[0].float().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
