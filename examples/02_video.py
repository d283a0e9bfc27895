"""Track a video: ARKit weights and head pose over time as arrays, and an animated GLB for each person.

Usage: python examples/02_video.py VIDEO [OUT_DIR]
"""

from __future__ import annotations

import sys
from pathlib import Path

from smirk3d import ARKIT_NAMES, Reconstructor
from smirk3d.export.gltf.animation import save_animation
from smirk3d.media.video import open_source
from smirk3d.tracking.track_video import TrackOptions, track_video


def main(video: str, out_dir: str = "out/examples") -> None:
    """Write `track_0.glb`, …, the person with the most frames first."""
    Path(out_dir).mkdir(parents=True, exist_ok=True)
    clip = track_video(open_source(video), Reconstructor(), TrackOptions(max_faces=2))
    print(f"{clip.n_frames} frames at {clip.rate_fps:g} fps, {len(clip.tracks)} track(s)")
    for track in clip.tracks:
        weights = track.arkit[track.known]  # (T, 52) in [0, 1]
        active = weights.std(axis=0).argsort()[::-1][:3]
        print(f"track {track.number}: {len(track)} frames, yaw {track.angles_deg[:, 0].round().tolist()[:5]} …")
        print("  most active:", ", ".join(ARKIT_NAMES[k] for k in active))
        path = Path(out_dir) / f"track_{track.number}.glb"
        save_animation(track, path)
        print("saved", path)


if __name__ == "__main__":
    main(*sys.argv[1:])
