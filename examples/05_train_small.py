"""A small training run on rendered heads: a few steps of stage 1, which need no photos. Needs smirk3d[train].

Usage: python examples/05_train_small.py [OUT_DIR [STEPS [COUNT]]]
"""

from __future__ import annotations

import sys

from smirk3d import Encoder
from smirk3d.cli.main import main as smirk3d


def main(out_dir: str = "out/examples/train", steps: str = "200", count: str = "500") -> int:
    """Train on COUNT rendered heads, load the encoder, print its size; return the exit code of the command."""
    code = smirk3d(
        [
            "train",
            "configs/pretrain.yaml",
            f"out_dir={out_dir}",
            "data.root=null",
            f"data.sources=[{{kind: rendered, count: {count}}}]",
            "data.size=64",
            "data.batch_size=4",
            "stage.losses={landmark: 100, target: 1}",  # landmarks, and the known parameters
            f"stage.steps={steps}",
            "engine.accelerator=cpu",
        ]
    )
    if code == 0:
        encoder = Encoder.from_checkpoint(f"{out_dir}/networks.safetensors")
        print(f"encoder with {sum(p.numel() for p in encoder.parameters()) / 1e6:.1f} million parameters")
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
