"""Retarget an expression: ARKit weights to the coefficients of another head, and back.

HEAD is a FLAME file or a head pack; without it the open head stands in, on which the way back is exact.

Usage: python examples/03_character.py [HEAD]
"""

from __future__ import annotations

import sys

import torch

from smirk3d import ARKIT_NAMES, Retargeter, load_head

EXPRESSION = {"mouthSmileLeft": 0.7, "mouthSmileRight": 0.6, "jawOpen": 0.2, "browInnerUp": 0.4}


def main(path: str = "open") -> None:
    """Print the weights that come back, and what the head cannot show of them."""
    head = load_head(path)
    retargeter = Retargeter(head)
    weights = torch.tensor([[EXPRESSION.get(name, 0.0) for name in ARKIT_NAMES]])  # (1, 52)
    params = retargeter.from_arkit(weights)  # the head's own expression, jaw, eyelids and eyes
    mesh = head(params)  # .vertices (1, V, 3) metres
    result = retargeter.to_arkit(params)
    print(f"head {head.data.name}: {mesh.vertices.shape[1]} vertices")
    for name, sent in EXPRESSION.items():
        back = float(result.weights[0, ARKIT_NAMES.index(name)])
        print(f"  {name:<16} sent {sent:.2f}, recovered {back:.2f}")
    print(f"residual {float(result.residual_mm[0]):.3f} mm of {float(result.size_mm[0]):.3f} mm")


if __name__ == "__main__":
    main(*sys.argv[1:])
