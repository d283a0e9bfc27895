"""Reconstruct the faces of a photo, print what was found, save each head.

Usage: python examples/01_photo.py PHOTO [OUT_DIR]
"""

from __future__ import annotations

import sys
from pathlib import Path

from smirk3d import Reconstructor


def main(photo: str, out_dir: str = "out/examples") -> None:
    """Write `face_0.glb`, `face_1.glb`, …, largest face first."""
    Path(out_dir).mkdir(parents=True, exist_ok=True)
    for index, face in enumerate(Reconstructor()(photo)):
        yaw, pitch, roll = face.angles_deg
        print(f"face {index}: confidence {face.confidence:.2f}, yaw {yaw:.0f}°, pitch {pitch:.0f}°, roll {roll:.0f}°")
        for name, weight in face.strongest(5):
            print(f"  {name:<20}{weight:.2f}")
        print("saved", face.save(Path(out_dir) / f"face_{index}.glb"))


if __name__ == "__main__":
    main(*sys.argv[1:])
