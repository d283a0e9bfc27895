"""Construction of the packaged appearance model from MakeHuman's CC0 files.

    python -m smirk3d.authoring.appearance_build --data FOLDER

FOLDER holds `skins` and `eyebrows` of `makehuman-assets`. Layers are stored as JPEG images within a safetensors file.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import save_file

from smirk3d.assets import atomic_path
from smirk3d.authoring import appearance_layers as layers
from smirk3d.authoring.appearance_sources import TexelMap, bake_proxy, read_skins
from smirk3d.authoring.brow_alignment import aligned_brows
from smirk3d.authoring.load import load_head
from smirk3d.render.appearance.appearance_model import OPACITIES, RELIEF_RANGES
from smirk3d.render.appearance.skin_layout import TEXTURE_SIZE
from smirk3d.zoo import registry

BUILD_VERSION = "4"
BROWS = {
    "brows_thin": ("eyebrow001", "eyebrow006", "eyebrow010"),
    "brows_medium": ("eyebrow004", "eyebrow008"),
    "brows_thick": ("eyebrow009", "eyebrow012"),
}
"""The brows of which each layer is the mean."""
BROW_GAIN = 1.8
"""Makes up for means of brows that lie beside each other."""
SEED = 0
_QUALITY = 92
"""Of the JPEG images."""


def build_layers(data: Path) -> dict[str, np.ndarray]:
    """Compute all layers.

    Args:
        data: Folder with MakeHuman's files.

    Returns:
        "relief/<name>" (H, W, 3) and "opacity/<name>" (H, W), float.

    Raises:
        Smirk3dError: Files are missing.
    """
    texels = TexelMap(load_head("open"), TEXTURE_SIZE)
    skins = read_skins(data / "skins", texels)
    result = {f"relief/{name}": image for name, image in layers.relief_images(skins, texels).items()}
    short, parted = layers.short_hairs(texels, SEED), layers.parted_strands(texels, SEED)
    moustache, beard = layers.beard_opacities(texels)
    hairs = (0.72 + 0.2 * layers.stubble(texels, SEED)).clip(0, 1)
    opacities = {
        "lips": layers.lip_opacity(texels),
        "moustache": moustache * hairs,
        "beard": beard * hairs,
        "lashes": layers.lash_opacity(texels),
        "hair_short": layers.scalp_opacity(texels, layers.SHORT, 0.002 * short) * (0.92 + 0.08 * short).clip(0, 1),
        "hair_long": layers.scalp_opacity(texels, layers.LONG, 0.0008 * parted),
        "strands_short": 0.5 + short / 6,
        "strands_long": 0.5 + parted / 6,
    }
    for name, folders in BROWS.items():
        brows = np.mean([bake_proxy(data / "eyebrows" / folder, texels) for folder in folders], axis=0)
        even = aligned_brows((brows + layers.mirrored(brows)) / 2, texels)
        opacities[name] = (BROW_GAIN * layers.smooth(even, 0.5)).clip(0, 1)
    return result | {f"opacity/{name}": opacities[name] for name in OPACITIES}


def save_layers(images: dict[str, np.ndarray], path: Path) -> None:
    """Write the layers of `build_layers` as a model file, atomically."""
    content = {}
    for name, image in images.items():
        low, high = RELIEF_RANGES.get(name.removeprefix("relief/"), (0.0, 1.0))
        content[name] = np.frombuffer(_encode((image - low) / (high - low)), dtype=np.uint8)
    with atomic_path(path) as temporary:
        save_file(
            content, temporary, metadata={"build_version": BUILD_VERSION, "seed": str(SEED), "licence": "CC0-1.0"}
        )


def _encode(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    pixels = (values.clip(0, 1) * 255).round().astype(np.uint8)
    Image.fromarray(pixels).save(file, format="JPEG", quality=_QUALITY, subsampling=0)
    return file.getvalue()


def main() -> None:
    """Build the model from the command line."""
    parser = argparse.ArgumentParser(description="Build the packaged appearance model.")
    parser.add_argument("--data", type=Path, required=True, help="folder with MakeHuman's skins and eyebrows")
    parser.add_argument("--out", type=Path, default=registry.locate("appearance"), help="the model's file")
    arguments = parser.parse_args()
    save_layers(build_layers(arguments.data), arguments.out)


if __name__ == "__main__":
    main()
