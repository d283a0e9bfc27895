"""Inputs of the neural renderer: shaded meshes and masked photos.

Both paths of training and the evaluation use these functions, so that the mask is the same everywhere: the pixels
that the rasteriser covers, whatever their colour.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from smirk3d.datasets.training_batch import TrainingBatch
from smirk3d.geometry.camera import project_orthographic
from smirk3d.head.model import HeadMesh, HeadModel
from smirk3d.masking import (
    MaskedPhoto,
    MaskingConfig,
    MeshView,
    in_place_samples,
    mask_face,
    removal_mask,
    sample_surface_points,
    sampling_weights,
    transferred_samples,
)
from smirk3d.render.appearance.semantic_colors import semantic_colors
from smirk3d.render.renderer import Renderer


@dataclass(frozen=True, eq=False)
class RenderedHeads:
    """The faces of B heads in their crops, see `smirk3d.render.appearance.semantic_colors`.

    Attributes:
        image: (B, 3, S, S) in [0, 1], shaded, differentiable in the mesh and the camera.
        mask: (B, 1, S, S) bool, the covered pixels.
        view: The whole meshes in image space and the depth of the covered pixels; without a gradient.
    """

    image: Tensor
    mask: Tensor
    view: MeshView


def render_heads(mesh: HeadMesh, camera: Tensor, size: int) -> RenderedHeads:
    """Render heads as the neural renderer receives them.

    Args:
        mesh: B posed heads.
        camera: (B, 3) scale, tx, ty of the scaled orthographic camera.
        size: S, side of the images in pixels.
    """
    look = semantic_colors(mesh.head)
    drawn = Renderer(look, size)(mesh.vertices, camera)
    vertices_ndc = project_orthographic(mesh.vertices.detach(), camera.detach())
    return RenderedHeads(
        look.apply(drawn.fragments, drawn.image), drawn.mask, MeshView(vertices_ndc, drawn.depth.detach())
    )


def mask_photos(
    batch: TrainingBatch,
    head: HeadModel,
    original: RenderedHeads,
    config: MaskingConfig,
    generator: torch.Generator,
    changed: RenderedHeads | None = None,
) -> MaskedPhoto:
    """Remove the faces from their photos and put sparse pixels back.

    All 478 landmarks span the hull that is removed. Those outside the photo are extrapolated by the detector, which is
    accurate enough for where the face leaves the photo.

    Args:
        batch: B photos with landmarks.
        head: Head model of the meshes.
        original: The heads as in the photos.
        config: Masking settings; lengths in pixels are for 224 and are scaled to the photos' side.
        generator: Randomness of the sampled pixels; on any device.
        changed: The same heads with other expressions, for the cycle path: pixels move along with the skin, and fewer
            patches are dropped. None: pixels stay in place (reconstruction path).

    Returns:
        MaskedPhoto, without a gradient.
    """
    config, rendered = config.scaled(batch.image.shape[-1]), original if changed is None else changed
    removed = removal_mask(batch.landmarks_ndc, rendered.mask, config.dilation_px)
    points = sample_surface_points(
        original.view.vertices_ndc,
        head.faces,
        sampling_weights(head),
        config.sample_count(batch.image.shape[-1]),
        generator,
    )
    if changed is None:
        samples, drop = in_place_samples(points, original.view, head.faces), config.drop_probability
    else:
        samples, drop = (
            transferred_samples(points, original.view, changed.view, head.faces),
            config.cycle_drop_probability,
        )
    return mask_face(batch.image, removed, samples, generator, drop_probability=drop, config=config)
