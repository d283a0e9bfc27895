"""Make the figure of docs/clips.md: rendered clips as strips, with what the packaged network makes of them.

Framed is the key expression that it finds; captions state the true one, too. The people are rendered.

Usage: python scripts/clip_figure.py [OUT.jpg]    (docs/images/clips.jpg when not given)
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from smirk3d.authoring.load import load_head
from smirk3d.datasets.synthetic.emotion_clips.clip_encoder import ClipEncoder
from smirk3d.datasets.synthetic.emotion_clips.degraded_frames import degraded_frames
from smirk3d.datasets.synthetic.emotion_clips.motion import HARDNESS, RATE_FPS, random_motion
from smirk3d.datasets.synthetic.emotion_clips.rendering import ClipRenderer
from smirk3d.fer.clips.frame_features import frame_features
from smirk3d.fer.clips.network import load_clip_network
from smirk3d.fer.clips.predictor import sub_clip_predictions
from smirk3d.fer.clips.strip import Strip, strip_sheet, thumbnail_row
from smirk3d.fer.emotions import EMOTIONS
from smirk3d.fer.face_windows import face_window
from smirk3d.fer.vectors import expressions_of
from smirk3d.zoo.registry import find

CLIPS = (
    ("happiness", "none"),
    ("surprise", "none"),
    ("anger", "none"),
    ("fear", "long_distractor"),
    ("disgust", "occluded"),
)
"""Emotion and difficulty of each row."""
THUMBNAIL_PX, SEED = 96, 900


def main(target: Path) -> None:
    """Write the figure as JPEG."""
    head = load_head("open")
    renderer, encoder, network = ClipRenderer(head), ClipEncoder(head), load_clip_network(find("clips"))
    strips = []
    for row, (emotion, kind) in enumerate(CLIPS):
        rng = np.random.default_rng([SEED, row])
        motion = random_motion(EMOTIONS.index(emotion), HARDNESS.index(kind), rng)
        frames, _ = degraded_frames(renderer.frames(motion, rng), kind, rng)
        windows = np.stack([face_window(*each) for each in zip(frames.pixels, frames.points_px)])
        vectors = expressions_of(windows).vectors
        features = frame_features(vectors, encoder.weights(frames), frames.angles_deg)
        found = sub_clip_predictions(network, torch.from_numpy(features)[None])
        best, (first_s, _, last_s) = int(found.mean[0].argmax()), found.key_spans[0] / RATE_FPS
        true_s = "{:.1f} to {:.1f}".format(*(edge / RATE_FPS for edge in motion.key))
        caption = f"{emotion} ({kind.replace('_', ' ')}), key {true_s} s; found: {EMOTIONS[best]}"
        caption += f" {found.mean[0, best]:.2f}, key {first_s:.1f} to {last_s:.1f} s"
        small = [np.asarray(Image.fromarray(each).resize((THUMBNAIL_PX,) * 2)) for each in frames.pixels]
        times_s = np.arange(len(small)) / RATE_FPS
        strips.append(Strip(caption, thumbnail_row(np.stack(small), times_s, (first_s, last_s))))
        print(caption)
    figure = strip_sheet(strips)
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(figure).save(target, quality=88, optimize=True)
    print(f"{target}: {figure.shape[1]} x {figure.shape[0]} pixels, {target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images/clips.jpg"))
