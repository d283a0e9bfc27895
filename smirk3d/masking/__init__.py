"""Masking of photos: which of their pixels the neural renderer gets as input."""

from smirk3d.masking.colors import match_colors
from smirk3d.masking.hull import convex_hull, dilate, face_hull_mask
from smirk3d.masking.photo import MaskedPhoto, MaskingConfig, mask_face, removal_mask
from smirk3d.masking.points import SurfacePoints, point_pixels, sample_surface_points, signed_area
from smirk3d.masking.transfer import MeshView, PixelSamples, in_place_samples, transferred_samples, visible_points
from smirk3d.masking.weights import RegionWeights, sampling_weights

__all__ = [
    "MaskedPhoto",
    "MaskingConfig",
    "MeshView",
    "PixelSamples",
    "RegionWeights",
    "SurfacePoints",
    "convex_hull",
    "dilate",
    "face_hull_mask",
    "in_place_samples",
    "mask_face",
    "match_colors",
    "point_pixels",
    "removal_mask",
    "sample_surface_points",
    "sampling_weights",
    "signed_area",
    "transferred_samples",
    "visible_points",
]
