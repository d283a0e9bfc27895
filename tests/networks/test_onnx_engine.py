"""The encoder in ONNX Runtime against torch."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from smirk3d.errors import Smirk3dError
from smirk3d.head.spec import Param, ParamSpec
from smirk3d.networks.encoder import Encoder, EncoderConfig
from smirk3d.networks.face_window import FaceWindow
from smirk3d.networks.onnx_engine import OnnxEncoder, export_onnx

POSE = (Param("pose", 3), Param("camera", 3))
FLAME = ParamSpec((Param("shape", 30), Param("expression", 10), Param("eyelids", 2, 0.0, 1.0), Param("jaw", 3), *POSE))
OPEN = ParamSpec((Param("shape", 20), Param("expression", 52, 0.0, 1.0), *POSE))
SMALL = "tf_mobilenetv3_small_minimal_100"
SIZE_PX = 64


def make(spec: ParamSpec, *, window: bool = False) -> Encoder:
    torch.manual_seed(0)
    view = FaceWindow(size_px=32) if window else None
    encoder = Encoder(
        spec, EncoderConfig(SMALL, SMALL, SMALL, view, flip_tta=window, zoom_tta=0.9 if window else None), SIZE_PX
    )
    for branch in (encoder.pose_encoder, encoder.shape_encoder, encoder.expression_encoder):
        nn.init.normal_(branch.linear.weight, 0.0, 0.05)
    with torch.no_grad():
        encoder.train()(torch.rand(4, 3, SIZE_PX, SIZE_PX))
    return encoder.eval()


@pytest.mark.parametrize(("spec", "window"), [(FLAME, False), (OPEN, False), (OPEN, True)])
def test_outputs_equal_torch_for_any_batch(spec: ParamSpec, window: bool, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    encoder, path = make(spec, window=window), tmp_path / "encoder.onnx"
    export_onnx(encoder, path, size_px=SIZE_PX)
    assert [file.name for file in tmp_path.iterdir()] == ["encoder.onnx"]  # weights inside
    for engine in (OnnxEncoder(path), OnnxEncoder(encoder, n_threads=1, size_px=SIZE_PX)):
        for count in (1, 3):
            crops = torch.rand(count, 3, SIZE_PX, SIZE_PX)
            with torch.no_grad():
                expected = encoder(crops)
            found = engine(crops)
            assert [name for name, _ in found.items()] == [name for name, _ in expected.items()]
            for name, value in expected.items():
                torch.testing.assert_close(getattr(found, name), value, atol=1e-4, rtol=1e-4)


def test_the_expression_can_be_exported_alone() -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    encoder, crops = make(FLAME), torch.rand(2, 3, SIZE_PX, SIZE_PX)
    found = OnnxEncoder(encoder, n_threads=1, size_px=SIZE_PX, expression_only=True)(crops)
    assert {name for name, _ in found.items()} == {"expression", "eyelids", "jaw"}
    with torch.no_grad():
        expected = encoder.expression(crops)
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("content", [None, b"", b"no model"])
def test_other_files_are_refused(content: bytes | None, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    path = tmp_path / "encoder.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Smirk3dError, match=r"encoder\.onnx: .*export_onnx") as caught:
        OnnxEncoder(path)
    assert "\n" not in str(caught.value)


def test_models_of_other_networks_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    path = tmp_path / "linear.onnx"
    torch.onnx.export(nn.Linear(2, 2), (torch.zeros(1, 2),), str(path), dynamo=False)
    with pytest.raises(Smirk3dError, match="something else"):
        OnnxEncoder(path)


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(Smirk3dError, match=r"package onnx; pip install 'smirk3d\[onnx\]'"):
        export_onnx(make(OPEN), tmp_path / "encoder.onnx")
    with pytest.raises(Smirk3dError, match=r"package onnxruntime; pip install 'smirk3d\[onnx\]'"):
        OnnxEncoder(tmp_path / "encoder.onnx")
