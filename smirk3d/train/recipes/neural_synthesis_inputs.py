"""From heads and photos to what the neural renderer reads: shaded meshes and masked photos.

Both paths of training, and whoever evaluates, come through here, so that "mask" has one meaning: the pixels that the
rasteriser says the drawn region covers, whatever their colour.
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
class DrawnHeads:
    """The faces of B heads in their crops, see `smirk3d.render.appearance.semantic_colors`.

    Attributes:
        image: (B, 3, S, S) in [0, 1], shaded, differentiable in the mesh and the camera.
        mask: (B, 1, S, S) bool, the pixels that are drawn.
        view: The whole meshes in image space, and the depth of what is drawn; without a gradient.
    """

    image: Tensor
    mask: Tensor
    view: MeshView


def draw_heads(mesh: HeadMesh, camera: Tensor, size: int) -> DrawnHeads:
    """Draw heads as the neural renderer reads them.

    Args:
        mesh: B posed heads. camera: (B, 3) scale, tx, ty. size: S, pixels a side.
    """
    look = semantic_colors(mesh.head)
    drawn = Renderer(look, size)(mesh.vertices, camera)
    vertices_ndc = project_orthographic(mesh.vertices.detach(), camera.detach())
    return DrawnHeads(
        look.put_on(drawn.fragments, drawn.image), drawn.mask, MeshView(vertices_ndc, drawn.depth.detach())
    )


def mask_photos(
    batch: TrainingBatch,
    head: HeadModel,
    original: DrawnHeads,
    config: MaskingConfig,
    generator: torch.Generator,
    changed: DrawnHeads | None = None,
) -> MaskedPhoto:
    """Remove the faces from their photos and put sparse pixels back.

    All 478 landmarks span the hull that is removed: those outside of the photo are guesses of the detector, but good
    enough to tell where a face leaves the photo.

    Args:
        batch: B photos with landmarks. head: Whose meshes are drawn.
        original: The heads as the photos show them.
        config: How much may be seen; its lengths in pixels are for 224 and are scaled to the photos' side.
        generator: Of any device.
        changed: The same heads with other expressions, as they will be painted: pixels move along with the skin, and
            fewer patches are dropped (cycle path). None: pixels stay in place (first path).

    Returns:
        MaskedPhoto, without a gradient.
    """
    config, shown = config.scaled(batch.image.shape[-1]), original if changed is None else changed
    removed = removal_mask(batch.landmarks_ndc, shown.mask, config.dilation_px)
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
