"""Reconstruct the astronaut photo of scikit-image and show where the results are.

Usage: python scripts/demo.py [OUT_DIR]
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from PIL import Image
from skimage.data import astronaut

from smirk3d.cli.main import main as smirk3d
from smirk3d.export.tables.expressions_csv import read_table
from smirk3d.head.arkit import ARKIT_NAMES

PHOTO_NAME = "astronaut.png"


def demo(out_dir: Path) -> int:
    """Write the photo and its reconstruction into `out_dir`; return the command's exit code."""
    out_dir.mkdir(parents=True, exist_ok=True)
    photo = out_dir / PHOTO_NAME
    Image.fromarray(astronaut()).save(photo)
    started_s = time.monotonic()
    code = smirk3d(["reconstruct", str(photo), "--out", str(out_dir), "--format", "glb,obj,npz"])
    if code == 0:
        print(f"reconstructed in {time.monotonic() - started_s:.1f} s, models loaded and all")
        print(_report(out_dir))
    return code


def _report(out_dir: Path) -> str:
    row = read_table(out_dir / "expressions.csv")[0]
    weights = sorted(((float(row[name]), name) for name in ARKIT_NAMES), reverse=True)[:5]
    files = sorted(path for path in out_dir.iterdir() if path.is_file())
    yaw, pitch, roll = (round(float(row[name])) for name in ("yaw", "pitch", "roll"))
    return "\n".join(
        [
            "strongest expression weights:",
            *(f"  {name:<20}{weight:.2f}" for weight, name in weights),
            f"head: yaw {yaw}°, pitch {pitch}°, roll {roll}°",
            "files:",
            *(f"  {path}" for path in files),
        ]
    )


if __name__ == "__main__":
    sys.exit(demo(Path(sys.argv[1] if len(sys.argv) > 1 else "out/demo")))
