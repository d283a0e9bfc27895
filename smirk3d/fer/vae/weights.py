"""The file of the face autoencoder."""

from __future__ import annotations

from pathlib import Path

from smirk3d.fer.vae.attributes import PACKAGED
from smirk3d.fer.vae.network import FaceVAE
from smirk3d.networks.half_file import load_half


def load_face_vae(path: Path) -> FaceVAE:
    """Read an autoencoder for inference.

    Raises:
        Smirk3dError: The file is missing or damaged, or holds something else.
    """
    network = FaceVAE(len(PACKAGED))
    load_half(network, path, "a face autoencoder", "give a file that `smirk3d fer train` wrote, or reinstall smirk3d")
    return network.eval().requires_grad_(False)
