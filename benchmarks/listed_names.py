"""Memory and time of a run that is resumed and finds nearly everything done.

    python benchmarks/listed_names.py [--names 20000]

A folder of links to one photo, and a journal of `smirk3d features` that has the rows of all but one; the peer is the
same run on a folder of one photo, which needs the models as well. Reads Linux's /proc.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from reconstruct import photo

from smirk3d import Reconstructor
from smirk3d.export.tables.feature_journal import FeatureJournal
from smirk3d.export.tables.features import feature_row

_REPORTING_PEAK = """
import sys
from pathlib import Path
from smirk3d.cli.main import main
code = main()
status = Path("/proc/self/status").read_text().splitlines()
print(next(line for line in status if line.startswith("VmHWM")))
sys.exit(code)
"""
"""The kernel's count for a child that has ended would include the memory of its parent."""


@dataclass(frozen=True)
class Memory:
    """The largest resident memory of two runs, megabytes (10^6 bytes).

    Attributes:
        models_mb: Of a run over one photo.
        names_mb: Of the resumed run over many.
    """

    models_mb: float
    names_mb: float

    def __str__(self) -> str:
        return f"{self.names_mb:.0f} MB, {self.names_mb - self.models_mb:.0f} MB beyond a run over one photo"


def measure(names: int) -> Memory:
    """Return the memory of `features --resume` over one photo, and over `names` of which all but one are done."""
    with tempfile.TemporaryDirectory() as folder, Reconstructor() as reconstructor:
        source = Path(folder) / "photo.jpg"
        Image.fromarray(photo()).save(source)
        face = reconstructor(photo())[0]
        peaks = []
        for count in (1, names):
            photos, target = Path(folder) / f"photos{count}", Path(folder) / f"features{count}.csv"
            photos.mkdir()
            for k in range(count):
                os.link(source, photos / f"{k:06d}.jpg")
            with FeatureJournal(target) as journal:
                for k in range(count - 1):
                    journal.add(photos / f"{k:06d}.jpg", [feature_row(photos / f"{k:06d}.jpg", 0, face)])
            arguments = ["features", str(photos), "--out", str(target), "--resume"]
            peaks.append(peak_mb(arguments))
    return Memory(*peaks)


def peak_mb(arguments: list[str]) -> float:
    """Run `smirk3d` with arguments in a new process and return its largest resident memory, megabytes."""
    command = [sys.executable, "-c", _REPORTING_PEAK, *arguments]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return int(lines[-1].split()[1]) * 1024 / 1e6


def main() -> None:
    """Print one line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--names", type=int, default=20_000)
    names = parser.parse_args().names
    print(f"{names} names listed and resumed: {measure(names)}")


if __name__ == "__main__":
    main()
