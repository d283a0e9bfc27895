"""The command line: flags, exit codes, and one-line errors."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save

import smirk3d
from smirk3d.cli import checks, options
from smirk3d.cli.main import main
from smirk3d.errors import NoFaceError, Smirk3dError
from smirk3d.export.tables.expressions_csv import read_table
from smirk3d.face import Face
from smirk3d.head.data import HeadData
from smirk3d.head.model import HeadModel
from smirk3d.head.pack import save_pack
from smirk3d.head.registry import register
from smirk3d.media.images import read_image
from smirk3d.networks.checkpoint import save_networks
from smirk3d.networks.neural_renderer import NeuralRenderer


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, make_face: Callable[..., Face], open_head: HeadModel) -> list[Any]:
    """Replace the reconstructor by one without models; the list gets those that are made. Heads are their names."""
    instances: list[Any] = []
    monkeypatch.setattr("smirk3d.authoring.load.load_head", lambda head, report: head)

    class Reconstructor:
        def __init__(self, *args: object, **options: object):
            self.args, self.options, self.closed = args, options, False
            self.face = replace(make_face(), head_id=register(open_head))
            instances.append(self)

        def read_and_detect(self, path: Path) -> SimpleNamespace:
            photo = read_image(path)
            if path.name.startswith("none"):
                raise NoFaceError(f"{path}: no face found")
            return SimpleNamespace(photo=photo, detections=[0])

        def solve(self, prepared: Sequence[object]) -> list[list[Face]]:
            if "break" in str(self.args[0]):
                raise KeyboardInterrupt
            return [[self.face] for _ in prepared]

        def close(self) -> None:
            self.closed = True

    module = ModuleType("smirk3d.estimation.reconstructor")
    module.Reconstructor = Reconstructor  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return instances


def _photo(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (320, 240), (90, 60, 50)).save(path)
    return str(path)


def _lines(capsys: pytest.CaptureFixture) -> tuple[list[str], list[str]]:
    captured = capsys.readouterr()
    return captured.out.splitlines(), captured.err.splitlines()


def _command(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "smirk3d.cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def test_version(capsys: pytest.CaptureFixture) -> None:
    assert main(["--version"]) == 0
    assert _lines(capsys)[0] == [f"smirk3d {smirk3d.__version__}"]


@pytest.mark.parametrize(
    "arguments",
    ["", "reconstruct", "features", "retarget", "head", "head build", "head info", "head convert", "train", "doctor"],
)
def test_help_of_every_subcommand(arguments: str, capsys: pytest.CaptureFixture) -> None:
    assert main([*arguments.split(), "--help"]) == 0
    assert "usage: smirk3d" in capsys.readouterr().out


def test_contract_flags_are_in_the_help(capsys: pytest.CaptureFixture) -> None:
    main(["reconstruct", "--help"])
    text = capsys.readouterr().out
    flags = ("--out", "--head", "--method", "--format", "--device", "--max-faces", "--resume", "--focal")
    flags += ("--no-scores", "--texture", "--no-overlay", "--identity", "--weights", "--engine", "--neural-render")
    assert all(flag in text for flag in flags)


def test_help_imports_nothing_that_takes_long() -> None:
    slow = {"torch", "mediapipe", "scipy", "cv2", "av", "PIL", "onnxruntime", "smirk3d.estimation.reconstructor"}
    code = f"import sys; from smirk3d.cli.main import main; main(['--help']); print(*({slow} & sys.modules.keys()))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == ""


def test_reconstruct(tmp_path: Path, made: list[Any], capsys: pytest.CaptureFixture) -> None:
    photo, out = _photo(tmp_path / "b.jpg"), tmp_path / "deep" / "out"
    arguments = ["reconstruct", photo, "--out", str(out), "--format", "obj,npz", "--no-overlay"]
    assert main([*arguments, "--max-faces", "2", "--focal", "900", "--no-scores"]) == 0
    assert {path.name for path in out.iterdir()} == {"b_0.npz", "b_0.obj", "expressions.csv"}
    assert made[0].args == ("open", "auto", "auto")
    expected = {"max_faces": 2, "focal": 900.0, "use_scores": False, "weights": None, "engine": "torch"}
    assert made[0].options == expected
    assert made[0].closed
    stdout, stderr = _lines(capsys)
    assert stdout == [f"images: 1 done, 0 failed; faces: 1; table: {out / 'expressions.csv'}"]
    assert not stderr


@pytest.mark.parametrize("command", ["reconstruct", "features"])
def test_flags_of_the_network_reach_the_reconstructor(command: str, tmp_path: Path, made: list[Any]) -> None:
    out = tmp_path / ("out" if command == "reconstruct" else "f.npz")
    arguments = [command, _photo(tmp_path / "b.png"), "--out", str(out), "--weights", "w.pt", "--engine", "onnx"]
    assert main([*arguments, "--method", "encoder", "--device", "cpu"]) == 0
    assert made[0].args == ("open", "encoder", "cpu")
    assert made[0].options["weights"] == "w.pt"
    assert made[0].options["engine"] == "onnx"


def test_messages_of_loading_a_head_are_shown(
    tmp_path: Path, made: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """The head is loaded before the reconstructor is built, and its messages are shown."""

    def load_head(head: str, report: Callable[[str], None]) -> str:
        report(f"completing {head}")
        return f"model of {head}"

    monkeypatch.setattr("smirk3d.authoring.load.load_head", load_head)
    photo = _photo(tmp_path / "b.png")
    assert main(["features", photo, "--out", str(tmp_path / "f.npz"), "--head", "x.pkl"]) == 0
    assert made[0].args[0] == "model of x.pkl"
    assert _lines(capsys)[1] == ["smirk3d: completing x.pkl"]


def test_neural_render(tmp_path: Path, made: list[Any]) -> None:
    weights = tmp_path / "w.safetensors"
    save_networks(weights, neural_renderer=NeuralRenderer(4), meta={})
    arguments = ["reconstruct", _photo(tmp_path / "b.png"), "--out", str(tmp_path / "out"), "--format", "json"]
    assert main([*arguments, "--neural-render", "--weights", str(weights)]) == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"b_0.json", "b_0_neural.png", "b_overlay.png", "expressions.csv"}


def test_weights_without_a_neural_renderer(tmp_path: Path, made: list[Any], capsys: pytest.CaptureFixture) -> None:
    weights = tmp_path / "w.pt"
    torch.save({"smirk_encoder.x": torch.zeros(1)}, weights)
    arguments = ["reconstruct", _photo(tmp_path / "b.png"), "--out", str(tmp_path / "out"), "--weights", str(weights)]
    assert main([*arguments, "--neural-render"]) == 1
    (line,) = _lines(capsys)[1]
    assert "w.pt: holds no tensors named smirk_generator" in line
    assert not made and not (tmp_path / "out").exists()


def test_default_outputs(tmp_path: Path, made: list[Any]) -> None:
    assert main(["reconstruct", _photo(tmp_path / "b.jpg"), "--out", str(tmp_path / "out")]) == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"b_0.glb", "b_0.npz", "b_overlay.png", "expressions.csv"}


def test_some_failures_are_exit_code_1(tmp_path: Path, made: list[Any], capsys: pytest.CaptureFixture) -> None:
    _photo(tmp_path / "in" / "a.png")
    _photo(tmp_path / "in" / "none.png")
    arguments = ["reconstruct", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--format", "npz"]
    assert main([*arguments, "--no-overlay"]) == 1
    stdout, stderr = _lines(capsys)
    assert "1 done, 1 failed" in stdout[-1]
    assert len(stderr) == 1
    assert stderr[0].startswith("smirk3d: ")
    assert "no face found" in stderr[0]
    assert main([*arguments, "--no-overlay", "--resume"]) == 1
    assert [row["status"][:6] for row in read_table(tmp_path / "out" / "expressions.csv")] == ["ok", "failed"]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["reconstruct", "a.jpg"],
        ["reconstruct", "--out", "o"],
        ["reconstruct", "a.jpg", "--out", "o", "--format", "glb,fbx"],
        ["reconstruct", "a.jpg", "--out", "o", "--method", "magic"],
        ["reconstruct", "a.jpg", "--out", "o", "--max-faces", "0"],
        ["reconstruct", "a.jpg", "--out", "o", "--focal", "-3"],
        ["reconstruct", "a.jpg", "--out", "o", "--focal", "wide"],
        ["reconstruct", "a.jpg", "--out", "o", "--format", "obj", "--texture"],
        ["reconstruct", "a.jpg", "--out", "o", "--engine", "onnx"],
        ["reconstruct", "a.jpg", "--out", "o", "--engine", "magic", "--weights", "w.pt"],
        ["reconstruct", "a.jpg", "--out", "o", "--neural-render"],
        ["reconstruct", "a.jpg", "--out", "o", "--neural-render", "--head", "flame.pkl"],
        ["reconstruct", "empty", "--out", "o"],
        ["features", "a.jpg", "--out", "f.xlsx"],
        ["features", "empty", "--out", "f.npz"],
        ["features", "a.jpg", "--out", "f.npz", "--engine", "onnx"],
        ["features", "a.jpg", "--out", "f.npz", "--engine", "onnx", "--method", "fit"],
    ],
)
def test_wrong_usage_is_exit_code_2(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: list[Any]
) -> None:
    monkeypatch.setattr(options, "packaged_encoder", lambda: None)
    monkeypatch.setattr("smirk3d.cli.reconstruct.packaged_neural_renderer", lambda: None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert main(arguments) == 2
    assert not made
    assert os.listdir(tmp_path) == ["empty"]


@pytest.mark.parametrize("suffix", ["npz", "csv", "parquet"])
def test_features(suffix: str, tmp_path: Path, made: list[Any], capsys: pytest.CaptureFixture) -> None:
    _photo(tmp_path / "in" / "a.png")
    _photo(tmp_path / "in" / "none.png")
    out = tmp_path / "new" / f"f.{suffix}"
    assert main(["features", str(tmp_path / "in"), "--out", str(out)]) == 1
    stdout, stderr = _lines(capsys)
    assert stdout == [f"images: 1 done, 1 failed; faces: 1; features: {out}"]
    assert len(stderr) == 1
    assert "none.png" in stderr[0]
    assert out.stat().st_size > 0
    if suffix == "npz":
        with np.load(out, allow_pickle=False) as saved:
            assert saved["keys"].tolist() == [str(tmp_path / "in" / "a.png")]
            assert saved["features"].shape == (1, len(saved["names"]))


def test_features_go_on_after_a_full_disk(
    tmp_path: Path, made: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    for name in ("a", "b", "c"):
        _photo(tmp_path / "in" / f"{name}.png")
    out, whole = tmp_path / "f.npz", tmp_path / "whole.npz"
    assert main(["features", str(tmp_path / "in"), "--out", str(whole)]) == 0

    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez_compressed", refuse)
        assert main(["features", str(tmp_path / "in"), "--out", str(out)]) == 1
    (line,) = _lines(capsys)[1]
    assert "f.npz: No space left on device" in line and "f.npz.part, from which --resume goes on" in line
    assert main(["features", str(tmp_path / "in"), "--out", str(out), "--resume"]) == 0
    stdout, _ = _lines(capsys)
    assert stdout == [f"images: 0 done, 0 failed, 3 done before; faces: 3; features: {out}"]
    with np.load(out) as found, np.load(whole) as expected:
        assert all(found[name].tobytes() == expected[name].tobytes() for name in expected.files)
    assert {path.name for path in tmp_path.iterdir()} == {"in", "f.npz", "whole.npz"}


def test_features_of_nothing_leave_no_file(tmp_path: Path, made: list[Any]) -> None:
    assert main(["features", _photo(tmp_path / "none.png"), "--out", str(tmp_path / "f.npz")]) == 1
    assert not list(tmp_path.glob("f.npz*"))


def test_interruption_is_exit_code_130(tmp_path: Path, made: list[Any], capsys: pytest.CaptureFixture) -> None:
    photo = _photo(tmp_path / "a.png")
    assert main(["reconstruct", photo, "--out", str(tmp_path / "out"), "--head", "break"]) == 130
    assert _lines(capsys)[1] == ["smirk3d: interrupted"]
    assert read_table(tmp_path / "out" / "expressions.csv") == []
    assert made[0].closed


@pytest.mark.parametrize(
    "error",
    [Smirk3dError("x.pack: broken\nget another"), ZeroDivisionError("oh"), OSError(36, "File name too long", "xxx")],
)
def test_errors_are_one_line(error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    def fail(_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("smirk3d.authoring.load.load_head", fail)
    assert main(["head", "info"]) == 1
    (line,) = _lines(capsys)[1]
    expected = "x.pack: broken get another"
    if isinstance(error, ZeroDivisionError):
        expected = "internal error: ZeroDivisionError: oh (run with --debug)"
    if isinstance(error, OSError):
        expected = "xxx: File name too long; check the path"
    assert line == f"smirk3d: {expected}"
    with pytest.raises(type(error)):
        main(["head", "info", "--debug"])


def test_missing_head_file(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    assert main(["head", "info", str(tmp_path / "no.pack")]) == 1
    assert "no such head file" in _lines(capsys)[1][0]


def test_head_info(capsys: pytest.CaptureFixture, landmark_head: Any) -> None:
    assert main(["head", "info"]) == 0
    text = capsys.readouterr().out
    for word in (str(len(landmark_head.faces)), "jawOpen", "tongue", "CC0", "ibug68 68"):
        assert word in text


@pytest.mark.parametrize("place", ["a file/x.pack", "a file/new/x.pack", "a folder", "n" * 300 + ".pack", "new\0.pack"])
def test_head_that_cannot_be_written_is_a_one_line_error(
    place: str, tiny_data: HeadData, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    save_pack(tiny_data, tmp_path / "a.pack")
    (tmp_path / "a file").write_text("kept", encoding="utf-8")
    (tmp_path / "a folder").mkdir()
    assert main(["head", "convert", str(tmp_path / "a.pack"), "--out", str(tmp_path / place)]) == 1
    stdout, (line,) = _lines(capsys)
    assert not stdout and line.startswith("smirk3d: cannot write ") and "choose another" in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a file", "a folder", "a.pack"]
    assert (tmp_path / "a file").read_text(encoding="utf-8") == "kept" and not list((tmp_path / "a folder").iterdir())


_INVALID_PACKS: dict[str, Callable[[dict[str, torch.Tensor], dict[str, Any]], object]] = {
    "no faces": lambda tensors, header: tensors.pop("faces"),
    "an unknown tensor": lambda tensors, header: tensors.update(surprise=torch.zeros(1)),
    "half of a landmark set": lambda tensors, header: tensors.pop("landmarks/ibug68/mirror"),
    "triangles of another mesh": lambda tensors, header: tensors["faces"].add_(1000),
    "landmarks of another mesh": lambda tensors, header: tensors["landmarks/ibug68/face_index"].add_(1000),
    "too few vertices": lambda tensors, header: tensors.update(v_template=tensors["v_template"][:5]),
    "half precision": lambda tensors, header: tensors.update(v_template=tensors["v_template"].half()),
    "numbers that are none": lambda tensors, header: tensors["shapedirs"].fill_(float("nan")),
    "a mask of numbers": lambda tensors, header: tensors.update({"regions/face": torch.zeros(14)}),
    "no meta": lambda tensors, header: header.pop("meta"),
    "no names": lambda tensors, header: header.pop("expression_names"),
    "an unknown entry": lambda tensors, header: header.update(surprise=1),
    "too few names": lambda tensors, header: header["expression_names"].pop(),
}


@pytest.mark.parametrize("fault", _INVALID_PACKS)
def test_invalid_pack_is_a_one_line_error(
    fault: str, tiny_data: HeadData, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path = tmp_path / "bad.pack"
    save_pack(tiny_data, path)
    with safe_open(path, framework="pt") as file:
        meta, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    header = json.loads(meta["head"])
    _INVALID_PACKS[fault](tensors, header)
    path.write_bytes(save(tensors, metadata=meta | {"head": json.dumps(header)}))
    assert main(["head", "info", str(path)]) == 1
    stdout, (line,) = _lines(capsys)
    assert not stdout and "bad.pack: " in line and "give a FLAME model or a pack" in line
    path.write_bytes(save(tensors, metadata=meta | {"head": json.dumps(header)[:-1]}))
    assert main(["head", "info", str(path)]) == 1
    assert "cannot be read as a head pack" in _lines(capsys)[1][0]


def test_closed_pipe_is_quiet() -> None:
    code = "import sys; from smirk3d.cli.main import main; sys.exit(main(sys.argv[1:]))"
    for arguments in (["--help"], ["--version"]):
        read_end, write_end = os.pipe()
        os.close(read_end)
        result = subprocess.run(
            [sys.executable, "-c", code, *arguments], stdout=write_end, stderr=subprocess.PIPE, check=False
        )
        os.close(write_end)
        assert (result.returncode, result.stderr) == (0, b""), arguments


def test_doctor_reports_what_is_missing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    def broken() -> str:
        raise ImportError("libEGL.so.1: cannot open shared object file")

    for name in ("_torch", "_warp", "_open_head"):
        monkeypatch.setattr(checks, name, lambda: "fine")
    monkeypatch.setattr(checks, "_mediapipe", broken)
    assert main(["doctor", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert not report["usable"]
    (bad,) = [check for check in report["checks"] if check["required"] and not check["ok"]]
    assert bad["name"] == "mediapipe"
    assert "libEGL" in bad["detail"]
    assert "libegl1" in bad["remedy"]
    monkeypatch.setattr(checks, "_mediapipe", lambda: "fine")
    assert main(["doctor"]) == 0
    assert _lines(capsys)[0][-1] == "ready"


def test_engine_runs_the_packaged_weights(tmp_path: Path, made: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "packaged_encoder", lambda: tmp_path / "encoder.safetensors")
    arguments = ["features", _photo(tmp_path / "b.png"), "--out", str(tmp_path / "f.npz"), "--engine", "onnx"]
    assert main(arguments) == 0 and made[0].options["engine"] == "onnx" and made[0].options["weights"] is None
    assert main([*arguments, "--method", "fit"]) == 2


def test_doctor_reports_the_packaged_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(checks, "packaged_encoder", lambda: None)
    check = checks._encoder_weights()
    assert (
        not check.ok and not check.required and "--method auto is fit" in check.detail and "--weights" in check.remedy
    )
    path = tmp_path / "encoder.safetensors"
    path.write_bytes(bytes(2_500_000))
    monkeypatch.setattr(checks, "packaged_encoder", lambda: path)
    check = checks._encoder_weights()
    assert (
        check.ok
        and str(path) in check.detail
        and "2.5 MB" in check.detail
        and "--method auto is refine" in check.detail
    )
    assert hashlib.sha256(path.read_bytes()).hexdigest() in check.detail


def test_doctor_lists_flame_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "flame_assets").mkdir()
    (tmp_path / "flame_assets" / "generic_model.pkl").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    assert "generic_model.pkl" in checks._flame_files().detail
