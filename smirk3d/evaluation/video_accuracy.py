"""Measure `smirk3d video` on rendered clips whose every frame is known: people who talk, blink, smile and turn.

    python smirk3d/evaluation/video_accuracy.py --people 5

Prints the correlation of each active weight with the truth, how many frames it is late, how deep blinks are, and
errors of the pose. The clips stay in the folder named by `--out`, with all files that `smirk3d video` writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import av
import numpy as np
import roma
import torch
import tyro
from av.container import OutputContainer
from av.video.stream import VideoStream

from smirk3d import Reconstructor
from smirk3d.authoring.load import load_head
from smirk3d.geometry.euler import rotation_from_angles
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.media.video import open_source
from smirk3d.params import FaceParams
from smirk3d.render.appearance.procedural_face import (
    ProceduralFaceRenderer,
    perspective_view,
    random_appearance,
    random_background,
    random_light,
    with_sensor,
)
from smirk3d.track import Track
from smirk3d.tracking.run import VideoOptions, run_video
from smirk3d.tracking.track_video import TrackOptions
from smirk3d.tracking.whittaker_smoother import SmoothConfig

SIZE, FPS = (640, 480), 25
STRONG = 0.4
"""Range from which an action counts as strong."""
FOCAL_PX, DISTANCE_M = 700.0, 0.8


@dataclass(frozen=True)
class Options:
    """What is measured."""

    out: Path = Path("out/video_truth")
    seconds: float = 10.0
    seed: int = 3
    """Of the first person who talks."""
    people: int = 1
    """How many talk, a clip each."""
    method: Literal["fit", "encoder", "refine"] = "refine"
    smooth: float = 1.0


def talk(n_frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Return weights (T, 52) and angles (T, 3) in degrees of somebody who talks."""
    time_s = np.arange(n_frames) / FPS
    weights = np.zeros((n_frames, len(ARKIT_NAMES)), dtype=np.float32)

    def add(curve: np.ndarray, *names: str) -> None:
        for name in names:
            weights[:, ARKIT_NAMES.index(name)] += curve.astype(np.float32)

    def bump(start_s: float, stop_s: float) -> np.ndarray:
        return np.clip(np.minimum(time_s - start_s, stop_s - time_s) / 0.3, 0, 1)

    speech = (0.5 - 0.5 * np.cos(2 * np.pi * 2.6 * time_s)) * (0.6 + 0.4 * np.sin(2 * np.pi * 0.7 * time_s))
    add(0.6 * speech * bump(0.2, 6.2), "jawOpen")
    add(0.7 * (0.5 - 0.5 * np.cos(2 * np.pi * 1.1 * time_s)) * bump(0.5, 3.0), "mouthFunnel")
    add(0.8 * bump(3.4, 4.8), "mouthSmileLeft")
    add(0.8 * bump(6.4, 8.0), "mouthSmileLeft", "mouthSmileRight")
    add(0.8 * bump(8.4, 9.6), "mouthPucker")
    add(0.8 * bump(1.0, 2.2) + 0.8 * bump(7.0, 8.2), "browInnerUp")
    add(0.8 * bump(4.6, 5.8), "browDownLeft", "browDownRight")
    add(0.7 * bump(2.4, 3.6), "eyeLookOutLeft", "eyeLookInRight")
    add(0.7 * bump(5.0, 6.0), "eyeLookInLeft", "eyeLookOutRight")
    for start in range(int(0.6 * FPS), n_frames - 4, int(1.7 * FPS)):
        for offset, value in enumerate((0.5, 1.0, 0.6)):  # 120 ms
            weights[start + offset, [ARKIT_NAMES.index(n) for n in ("eyeBlinkLeft", "eyeBlinkRight")]] = value
    angles = np.stack([18 * np.sin(0.9 * time_s), 7 * np.sin(1.7 * time_s), 5 * np.sin(1.3 * time_s + 1)], axis=1)
    return weights.clip(0, 1), angles


def render(path: Path, weights: np.ndarray, angles_deg: np.ndarray, seed: int) -> None:
    """Write a video of a random person with these expressions and poses."""
    head, random = load_head(), torch.Generator().manual_seed(seed)
    painter = ProceduralFaceRenderer(head)
    shape = 0.8 * torch.randn(head.n_shape, generator=random)
    look, light, background = random_appearance(random), random_light(random), random_background(SIZE[0], random)
    margin = (SIZE[0] - SIZE[1]) // 2
    center = head.v_template[head.region_mask("face")].mean(0)
    with av.open(str(path), "w") as container:
        stream = open_stream(container)
        for expression, angles in zip(torch.from_numpy(weights), angles_deg):
            with torch.no_grad():
                vertices = head(FaceParams(shape=shape, expression=expression)).vertices
            rotmat = torch.from_numpy(rotation_from_angles(*angles)).float()
            translation = -rotmat @ center - torch.tensor([0.0, 0.0, DISTANCE_M])
            view = perspective_view(vertices, rotmat, translation, FOCAL_PX / (SIZE[0] / 2))
            image = with_sensor(painter.paint(view, SIZE[0], look, light, background), random)
            pixels = (image[0] if image.dim() == 4 else image).clamp(0, 1).mul(255).byte().permute(1, 2, 0).numpy()
            frame = np.ascontiguousarray(pixels[margin:-margin])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def open_stream(container: OutputContainer) -> VideoStream:
    """Return the stream of a new video."""
    stream = container.add_stream("libx264", rate=FPS, options={"crf": "18"})
    stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
    return stream


def judge_talk(track: Track, weights: np.ndarray, angles_deg: np.ndarray) -> tuple[list[float], float]:
    """Print how near a track is to the truth; return correlations of strong actions, mean error of the pose (deg)."""
    rows = slice(int(track.frame[0]), int(track.frame[-1]) + 1)
    truth = weights[rows]
    strong = []
    for k in np.flatnonzero(np.ptp(truth, axis=0) > 0.05):
        said = track.arkit[:, k]
        correlation = np.corrcoef(said, truth[:, k])[0, 1]
        late = max(range(-3, 4), key=lambda lag: np.corrcoef(np.roll(said, -lag)[4:-4], truth[4:-4, k])[0, 1])
        span = np.ptp(said) / np.ptp(truth[:, k])
        print(f"{ARKIT_NAMES[k]:18s} correlation {correlation:5.2f}  frames late {late:+d}  range {span:4.2f} of truth")
        strong += [correlation] if np.ptp(truth[:, k]) >= STRONG else []
    other = np.ptp(truth, axis=0) == 0
    high = np.sum(np.array(strong) >= 0.9)
    print(f"strong actions: mean correlation {np.mean(strong):.3f}, {high} of {len(strong)} >= .9")
    print(f"actions that rest: mean {track.arkit[:, other].mean():.3f}, largest {track.arkit[:, other].max():.2f}")
    for name in ("eyeBlinkLeft", "eyeBlinkRight"):
        k = ARKIT_NAMES.index(name)
        peaks = np.flatnonzero(truth[:, k] == 1)
        depth = [track.arkit[max(p - 1, 0) : p + 2, k].max() for p in peaks]
        print(f"{name}: depth of {len(peaks)} blinks {np.mean(depth):.2f}, least {np.min(depth):.2f}")
    wanted = torch.from_numpy(np.stack([rotation_from_angles(*a) for a in angles_deg[rows]]))
    off = torch.from_numpy(track.rotation_rotmat).double() @ wanted.mT
    steady = torch.as_tensor(roma.special_procrustes(off.mean(0)))
    errors = torch.rad2deg(roma.rotmat_geodesic_distance(off, steady.expand_as(off)))
    print(
        f"pose: mean error {errors.mean():.2f} deg, largest {errors.max():.2f}, after a constant turn of "
        f"{torch.rad2deg(roma.rotmat_geodesic_distance(steady, torch.eye(3).double())):.1f} deg"
    )
    return strong, float(errors.mean())


def tracked(options: Options, name: str) -> Track:
    """Return the track of the person in a clip, all of whose files are written."""
    track_options = TrackOptions(smooth=SmoothConfig(options.smooth))
    with Reconstructor(method=options.method) as reconstructor:
        source = open_source(str(options.out / f"{name}.mp4"))
        return run_video(source, options.out, name, reconstructor, VideoOptions(track_options)).tracks[0]


def main(options: Options) -> None:
    """Make the clips, track them, and judge."""
    options.out.mkdir(parents=True, exist_ok=True)
    n_frames = round(options.seconds * FPS)
    weights, angles_deg = talk(n_frames)
    found: list[tuple[list[float], float]] = []
    for k in range(options.people):
        name = f"talk_{k}" if k else "talk"
        render(options.out / f"{name}.mp4", weights, angles_deg, options.seed + k)
        found.append(judge_talk(tracked(options, name), weights, angles_deg))
    strong = np.concatenate([each for each, _ in found])
    poses = ", ".join(f"{error:.1f}" for _, error in found)
    high = np.sum(strong >= 0.9)
    print(
        f"{len(found)} people: strong actions: mean {strong.mean():.3f}, {high} of {len(strong)} >= .9; "
        f"pose {np.mean([error for _, error in found]):.1f} deg ({poses})"
    )


if __name__ == "__main__":
    main(tyro.cli(Options))
