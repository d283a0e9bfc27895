"""Tracks of clips, and the errors of their poses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import roma
import torch

from smirk3d.estimation.reconstructor import Reconstructor
from smirk3d.evaluation.data import EvaluationData
from smirk3d.media.video import open_source
from smirk3d.track import Track
from smirk3d.tracking.run import VideoOptions, run_video
from smirk3d.tracking.track_video import TrackOptions, track_video
from smirk3d.tracking.whittaker_smoother import SmoothConfig


def track_clip(data: EvaluationData, path: Path, reconstructor: Reconstructor) -> Track:
    """Return the track of the person in a clip; where files are kept, all files of `smirk3d video` are written.

    Args:
        data: Options of the evaluation.
        path: The clip.
        reconstructor: Method of the tracking.

    Raises:
        NoFaceError: Nobody is in the clip.
    """
    options = TrackOptions(smooth=SmoothConfig(data.options.clips.smooth), trim=True)
    source = open_source(str(path))
    if data.options.keep is None:
        return track_video(source, reconstructor, options).tracks[0]
    return run_video(source, path.parent, path.stem, reconstructor, VideoOptions(options)).tracks[0]


def rotation_errors_deg(offset: torch.Tensor) -> tuple[np.ndarray, float]:
    """Return the errors of rotations after a constant rotation is taken off, and the size of that rotation.

    What the head's rest pose or a photo's own pose adds to every frame is no error of tracking. The constant rotation
    is the chordal mean; source: Hartley et al., "Rotation Averaging", IJCV 103, 2013.

    Args:
        offset: (T, 3, 3) float64 predicted times inverse true rotations.

    Returns:
        (T,) errors in degrees, and the angle of the constant rotation in degrees.
    """
    constant = torch.as_tensor(roma.special_procrustes(offset.mean(0)))
    errors = torch.rad2deg(roma.rotmat_geodesic_distance(offset, constant.expand_as(offset)))
    angle = torch.rad2deg(roma.rotmat_geodesic_distance(constant, torch.eye(3).double()))
    return errors.numpy(), float(angle)
