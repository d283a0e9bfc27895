"""The expression network in ONNX Runtime computes what torch computes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from skimage.data import astronaut

from smirk3d.cli.main import main
from smirk3d.errors import Smirk3dError
from smirk3d.fer import onnx_export
from smirk3d.fer.emotions import EMOTIONS
from smirk3d.fer.face_windows import crop_window
from smirk3d.fer.vectors import expressions_of

onnxruntime = pytest.importorskip("onnxruntime")


def test_the_file_predicts_the_same(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "x.onnx"
    assert main(["fer", "export", "packaged", "--out", str(path)]) == 0
    assert "largest difference" in capsys.readouterr().out
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    face = crop_window(astronaut()[40:200, 150:310])
    windows = np.stack([face, face[:, ::-1], 255 - face])
    vector, probabilities, arkit = session.run(["vector", "probabilities", "arkit"], {"windows": windows})
    expected = expressions_of(windows)
    assert probabilities == pytest.approx(expected.probabilities, abs=1e-4)
    assert arkit == pytest.approx(expected.arkit, abs=1e-4)
    assert vector == pytest.approx(expected.vectors, abs=1e-4, rel=1e-4)
    names = session.get_modelmeta().custom_metadata_map
    assert tuple(json.loads(names["emotions"])) == EMOTIONS and len(json.loads(names["arkit"])) == 52


def test_a_file_that_differs_is_not_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onnx = pytest.importorskip("onnx")
    empty = onnx.helper.make_model(onnx.helper.make_graph([], "empty", [], []))
    monkeypatch.setattr(onnx_export, "_export", lambda flat, path: onnx.save(empty, str(path)))
    monkeypatch.setattr(onnx_export, "_largest_difference", lambda network, path: 1e-3)
    with pytest.raises(Smirk3dError, match="differ"):
        onnx_export.export_expression_network(None, tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())


def test_wrong_usage(tmp_path: Path) -> None:
    assert main(["fer", "export", "--out", str(tmp_path / "x.pt")]) == 2
    assert main(["fer", "export", str(tmp_path / "missing"), "--out", str(tmp_path / "x.onnx")]) == 1
