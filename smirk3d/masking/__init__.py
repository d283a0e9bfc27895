"""Which pixels of a photo the neural renderer may see."""

from smirk3d.masking.colours import match_colours
from smirk3d.masking.hull import convex_hull, dilate, face_hull_mask
from smirk3d.masking.photo import MaskedPhoto, MaskingConfig, masked_photo, removed_area
from smirk3d.masking.points import SurfacePoints, facing_area, point_pixels, sample_surface_points
from smirk3d.masking.transfer import MeshView, PixelSamples, moved_pixels, pixels_in_place, visible_points
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
    "facing_area",
    "masked_photo",
    "match_colours",
    "moved_pixels",
    "pixels_in_place",
    "point_pixels",
    "removed_area",
    "sample_surface_points",
    "sampling_weights",
    "visible_points",
]
