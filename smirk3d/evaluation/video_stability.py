"""Measure what `smirk3d video` says to move in clips in which nothing moves but the whole picture.

    python smirk3d/evaluation/video_stability.py                               # one photo that is panned, zoomed and turned
    python smirk3d/evaluation/video_stability.py --photos faces/ --people 20   # photos of your own as well, one of each person

Every photo becomes a clip in which it turns by 12 degrees both ways, grows and shrinks by more than a quarter and
wanders about; its weights should stay where they are and its pose should follow. Prints how far each weight strays
(standard deviation over time), and errors of pose and size. The clips stay in the folder named by `--out`, with all
files that `smirk3d video` writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import av
import numpy as np
import roma
import torch
import tyro
from PIL import Image, ImageFilter

from smirk3d import Reconstructor
from smirk3d.detection.detector import Detector
from smirk3d.errors import NoFaceError
from smirk3d.evaluation.video_accuracy import FPS, SIZE, open_stream
from smirk3d.geometry.euler import rotation_from_angles
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.media.images import IMAGE_SUFFIXES
from smirk3d.media.video import open_source
from smirk3d.track import Track
from smirk3d.tracking.run import VideoOptions, run_video
from smirk3d.tracking.track_video import TrackOptions
from smirk3d.tracking.whittaker_smoother import SmoothConfig

FACE_PX = 97.5
"""Mean of width and height of the landmarks' box in the sample photo; other photos are scaled to it."""
BORDER_PX = 120
STEADY = 0.01


@dataclass(frozen=True)
class Options:
    """What is measured."""

    out: Path = Path("out/video_still")
    photos: Path | None = None
    """Folder of photos; of a folder in it only the first photo with a face is taken, as one person's."""
    people: int = 20
    """At most so many of them, spread over the folder."""
    seconds: float = 10.0
    method: Literal["fit", "encoder", "refine"] = "refine"
    smooth: float = 1.0


@dataclass(frozen=True)
class Still:
    """A photo whose face is about `FACE_PX` large. middle_px: (x, y) of the face."""

    name: str
    photo: Image.Image
    middle_px: tuple[float, float]


def sample() -> Still:
    """Return scikit-image's sample photo of a person."""
    from skimage.data import astronaut

    return Still("still", Image.fromarray(astronaut()), (225, 115))


def stills_of(folder: Path, most: int, detector: Detector) -> Iterator[Still]:
    """Yield photos of a folder, scaled."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    first = list({path.parent if path.parent != folder else path: path for path in reversed(paths)}.values())[::-1]
    for path in first[:: max(1, len(first) // most)][:most]:
        photo = Image.open(path).convert("RGB")
        found = detector.detect(np.asarray(photo))
        if not found:
            print(f"{path}: no face found; left out")
            continue
        low, high = found[0].landmarks_px.min(0), found[0].landmarks_px.max(0)
        scale = FACE_PX / float((high - low).mean())
        size = (round(photo.width * scale), round(photo.height * scale))
        x, y = (low + high) / 2 * scale + BORDER_PX
        yield Still(path.stem, _with_border(photo.resize(size, Image.Resampling.LANCZOS)), (float(x), float(y)))


def _with_border(photo: Image.Image) -> Image.Image:
    """Return a photo that goes on beyond its rim, out of focus: black would hide chins and foreheads cut close."""
    wide = np.pad(np.asarray(photo), ((BORDER_PX, BORDER_PX), (BORDER_PX, BORDER_PX), (0, 0)), mode="edge")
    soft = Image.fromarray(wide).filter(ImageFilter.GaussianBlur(BORDER_PX / 8))
    soft.paste(photo, (BORDER_PX, BORDER_PX))
    return soft


def pan(still: Still, path: Path, n_frames: int) -> np.ndarray:
    """Write a video of a photo that is moved, and return its roll (T,) in degrees and zoom (T,): (T, 2)."""
    motion = []
    with av.open(str(path), "w") as container:
        stream = open_stream(container)
        for phase in 2 * np.pi * np.arange(n_frames) / n_frames:
            roll, zoom = 12 * np.sin(phase), 1.25 + 0.35 * np.sin(2 * phase)
            cosine, sine = np.cos(np.deg2rad(roll)) / zoom, np.sin(np.deg2rad(roll)) / zoom
            back = np.array([[cosine, sine], [-sine, cosine]])
            middle = np.array(SIZE) / 2 + (60 * np.sin(phase), 30 * np.cos(phase) - 20)
            start = still.middle_px - back @ middle
            numbers = (*back[0], start[0], *back[1], start[1])
            moved = still.photo.transform(SIZE, Image.Transform.AFFINE, numbers, Image.Resampling.BICUBIC)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(moved), format="rgb24")))
            motion.append((roll, zoom))
        container.mux(stream.encode())
    return np.array(motion)


def judge(name: str, track: Track, motion: np.ndarray) -> np.ndarray:
    """Print what moves of a photo that only moves in its plane; return how far each weight (52,) strays."""
    spread = np.nanstd(track.arkit, axis=0)
    top = ", ".join(f"{ARKIT_NAMES[k]} {spread[k]:.3f}" for k in np.argsort(-spread)[:3])
    rows = motion[int(track.frame[0]) : int(track.frame[-1]) + 1]
    seen = ~np.isnan(track.scale_px_per_m)
    plane = torch.from_numpy(np.stack([rotation_from_angles(0, 0, roll) for roll in rows[seen, 0]]))
    off = plane.mT @ torch.from_numpy(track.rotation_rotmat[seen]).double()
    steady = torch.as_tensor(roma.special_procrustes(off.mean(0)))
    errors = torch.rad2deg(roma.rotmat_geodesic_distance(off, steady.expand_as(off)))
    ratio = track.scale_px_per_m[seen] / rows[seen, 1]
    print(
        f"{name}: weights stray by {spread.mean():.4f} in the mean, {np.sum(spread <= STEADY)} of 52 by {STEADY} or "
        f"less, most {top}; pose off by {errors.mean():.2f} deg, at most {errors.max():.2f}; size by "
        f"{100 * ratio.std() / ratio.mean():.2f} %; {seen.sum()} of {len(motion)} frames",
        flush=True,
    )
    return spread


def main(options: Options) -> None:
    """Make the clips, track them, and judge."""
    options.out.mkdir(parents=True, exist_ok=True)
    video_options, spreads = VideoOptions(TrackOptions(smooth=SmoothConfig(options.smooth))), []
    with Reconstructor(method=options.method, focal="orthographic") as reconstructor:
        own = [] if options.photos is None else stills_of(options.photos, options.people, reconstructor.detector)
        for still in (sample(), *own):
            path = options.out / f"{still.name}.mp4"
            motion = pan(still, path, round(options.seconds * FPS))
            try:
                clip = run_video(open_source(str(path)), options.out, still.name, reconstructor, video_options)
            except NoFaceError as error:
                print(f"{error}; left out")
                continue
            spreads.append(judge(still.name, clip.tracks[0], motion))
    if len(spreads) > 1:
        _judge_all(np.array(spreads))


def _judge_all(spreads: np.ndarray) -> None:
    """Print how far weights stray in N photos: (N, 52)."""
    steady = (spreads <= STEADY).sum(axis=1)
    most = np.sqrt((spreads**2).mean(axis=0))
    top = ", ".join(f"{ARKIT_NAMES[k]} {most[k]:.3f}" for k in np.argsort(-most)[:6])
    print(
        f"{len(spreads)} photos: weights stray by {spreads.mean():.4f} in the mean, {steady.mean():.1f} of 52 by "
        f"{STEADY} or less (all of them in {(steady == 52).sum()} photos), at most {spreads.max():.3f}; "
        f"most (rms) {top}"
    )


if __name__ == "__main__":
    main(tyro.cli(Options))
