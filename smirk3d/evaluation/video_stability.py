"""Tracking stability on clips in which nothing moves but the whole picture.

A photo becomes a clip in which it rotates by 12° both ways, zooms by more than a quarter and pans; its weights should
be constant and its pose should follow.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter

from smirk3d.detection.detector import Detection
from smirk3d.errors import NoFaceError, Smirk3dError
from smirk3d.evaluation.clips import FPS, StillPhoto, write_moving_photo
from smirk3d.evaluation.data import EvaluationData
from smirk3d.evaluation.method_under_test import MethodUnderTest
from smirk3d.evaluation.result import Figure, MeasureNotApplicableError, Result, values_of
from smirk3d.evaluation.tracked_clips import rotation_errors_deg, track_clip
from smirk3d.geometry.euler import rotation_from_angles
from smirk3d.media.images import IMAGE_SUFFIXES, read_image
from smirk3d.track import Track

_log = logging.getLogger(__name__)

FACE_PX = 97.5
"""Mean of width and height of the landmarks' box in the sample photo; other photos are scaled to it."""
SAMPLE_CENTER_PX = (225, 115)
BORDER_PX = 120
STEADY_STD = 0.01
FIGURES = (
    Figure("mean_std", better="lower"),
    Figure("max_std", better="lower"),
    Figure("steady_blendshapes", better="higher"),
    Figure("steady_clips", better="higher"),
    Figure("pose_error_deg", "deg", "lower"),
    Figure("pose_error_max_deg", "deg", "lower"),
    Figure("size_error_percent", "%", "lower"),
    Figure("tracked_frames_percent", "%", "higher"),
)


class VideoStabilityMeasure:
    """See `clip_stability`; --photos with --people, --seconds, --smooth and --keep apply."""

    name = "video-stability"
    summary = "standard deviation of the weights in clips of a photo that rotates, zooms and pans"
    needs = frozenset({"reconstruction"})
    figures = FIGURES
    is_default = False

    def run(self, method: MethodUnderTest, data: EvaluationData) -> Iterator[Result]:
        """Yield one result over the sample photo and the photos of the options."""
        options, left_out = data.options, 0
        # A photo that moves in its plane is exactly what a scaled orthographic camera can show.
        reconstructor = data.reconstructor(focal="orthographic")
        paths = [] if options.photos is None else photo_of_each_person(options.photos, options.clips.people)
        found: dict[str, tuple[np.ndarray, dict[str, float]]] = {}
        with data.progress(self.name, 1 + len(paths)) as display:
            for still in (sample_photo(), *(still_photo(path, reconstructor.detector.detect) for path in paths)):
                try:
                    if still is None:
                        raise NoFaceError("no face found")
                    path = data.clip_folder / f"{still.name}.mp4"
                    motion = write_moving_photo(still, path, round(options.clips.seconds * FPS))
                    found[still.name] = clip_stability(track_clip(data, path, reconstructor), motion)
                except NoFaceError:
                    left_out += 1
                display.advance()
        if not found:
            raise MeasureNotApplicableError("no face was found in any of the photos")
        yield stability_result(method.method, found, left_out)


def sample_photo() -> StillPhoto:
    """Return scikit-image's sample photo of a person.

    Raises:
        Smirk3dError: scikit-image is not installed.
    """
    try:
        from skimage.data import astronaut
    except ImportError as error:
        raise Smirk3dError("scikit-image is needed for its sample photo; pip install 'smirk3d[demo]'") from error

    return StillPhoto("sample", Image.fromarray(astronaut()), SAMPLE_CENTER_PX)


def photo_of_each_person(folder: Path, count: int) -> list[Path]:
    """Return photos spread over a folder; of a folder in it only the first one, as one person's.

    Args:
        folder: Folder of photos, or of a folder for each person.
        count: At most so many.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    first_of = {path.parent if path.parent != folder else path: path for path in reversed(paths)}
    persons = list(first_of.values())[::-1]
    return persons[:: max(1, len(persons) // count)][:count]


def still_photo(path: Path, detect: Callable[[np.ndarray], list[Detection]]) -> StillPhoto | None:
    """Return a photo, scaled so that its largest face has `FACE_PX`; None where it shows no face or cannot be read.

    Args:
        path: The photo.
        detect: (H, W, 3) uint8 RGB pixels -> the faces in them, largest first.
    """
    try:
        photo = Image.fromarray(read_image(path).pixels)
    except Smirk3dError as error:
        _log.warning("%s", error)
        return None
    found = detect(np.asarray(photo))
    if not found:
        return None
    low, high = found[0].landmarks_px.min(0), found[0].landmarks_px.max(0)
    scale = FACE_PX / float((high - low).mean())
    size = (round(photo.width * scale), round(photo.height * scale))
    x, y = (low + high) / 2 * scale + BORDER_PX
    return StillPhoto(path.stem, _with_border(photo.resize(size, Image.Resampling.LANCZOS)), (float(x), float(y)))


def _with_border(photo: Image.Image) -> Image.Image:
    """Return a photo that continues beyond its edges, blurred: black would hide chins and foreheads cut close."""
    margins = ((BORDER_PX, BORDER_PX), (BORDER_PX, BORDER_PX), (0, 0))
    padded = np.pad(np.asarray(photo), margins, mode="edge")
    blurred = Image.fromarray(padded).filter(ImageFilter.GaussianBlur(BORDER_PX / 8))
    blurred.paste(photo, (BORDER_PX, BORDER_PX))
    return blurred


def clip_stability(track: Track, motion: np.ndarray) -> tuple[np.ndarray, dict[str, float]]:
    """Measure what moves of a photo that moves in its plane.

    Args:
        track: Track of the clip.
        motion: (T, 2) roll in degrees and zoom.

    Returns:
        (52,) standard deviation of each weight over time, and figures of the pose by name.
    """
    std = np.nanstd(track.arkit, axis=0)
    rows = motion[int(track.frame[0]) : int(track.frame[-1]) + 1]
    is_tracked = ~np.isnan(track.scale_px_per_m)
    roll = torch.from_numpy(np.stack([rotation_from_angles(0, 0, angle) for angle in rows[is_tracked, 0]]))
    errors, _ = rotation_errors_deg(roll.mT @ torch.from_numpy(track.rotation_rotmat[is_tracked]).double())
    ratio = track.scale_px_per_m[is_tracked] / rows[is_tracked, 1]
    return std, {
        "pose_error_deg": float(errors.mean()),
        "pose_error_max_deg": float(errors.max()),
        "size_error_percent": float(100 * ratio.std() / ratio.mean()),
        "tracked_frames_percent": float(100 * is_tracked.sum() / len(motion)),
    }


def stability_result(method: str, found: dict[str, tuple[np.ndarray, dict[str, float]]], left_out: int = 0) -> Result:
    """Return the figures of several clips: means, and the worst of what is a maximum.

    Args:
        method: Name of the method.
        found: Standard deviations (52,) and figures of the pose, by the name of the clip.
        left_out: Number of photos without a face.
    """
    std = np.stack([each for each, _ in found.values()])
    poses = {name: [pose[name] for _, pose in found.values()] for name in next(iter(found.values()))[1]}
    steady = (std <= STEADY_STD).sum(axis=1)
    numbers = {
        "mean_std": float(std.mean()),
        "max_std": float(std.max()),
        "steady_blendshapes": float(steady.mean()),
        "steady_clips": int((steady == std.shape[1]).sum()),
        "pose_error_deg": float(np.mean(poses["pose_error_deg"])),
        "pose_error_max_deg": max(poses["pose_error_max_deg"]),
        "size_error_percent": float(np.mean(poses["size_error_percent"])),
        "tracked_frames_percent": float(np.mean(poses["tracked_frames_percent"])),
    }
    by_sample = {name: float(each.mean()) for name, (each, _) in found.items()}
    columns = {"rms_std": np.sqrt((std**2).mean(axis=0))}
    values = values_of(FIGURES, numbers)
    return Result("video-stability", method, len(found), values, columns, by_sample, left_out)
