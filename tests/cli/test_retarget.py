"""`smirk3d retarget` on files: FLAME coefficients to ARKit weights and back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
from cli_runs import runner

from smirk3d.cli.main import main
from smirk3d.export.tables.expression_file import write_arkit
from smirk3d.face import Face
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.head.pack import save_pack
from smirk3d.params import FaceParams


@pytest.fixture
def run(capsys: pytest.CaptureFixture):
    return runner("retarget", capsys)


@pytest.fixture(scope="module")
def flame_pack(flame_head: HeadModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The completed head as a pack, which loads fast."""
    path = tmp_path_factory.mktemp("heads") / "flame 头.pack"
    save_pack(flame_head.data, path)
    return path


@pytest.fixture
def result(flame_face: Face, tmp_path: Path) -> Path:
    return flame_face.save(tmp_path / "photo_0.npz")


def _weights_of(path: Path) -> np.ndarray:
    return pandas.read_csv(path)[list(ARKIT_NAMES)].to_numpy()


def test_coefficients_become_arkit_weights(run, flame_pack: Path, flame_face: Face, result: Path) -> None:
    assert (answer := run(result, "--to", "arkit", "--head", flame_pack)).code == 0
    out = result.with_name("photo_0_arkit.csv")
    assert not answer.err
    assert len(answer.out) == 1 and answer.out[0].startswith("frames: 1; ") and answer.out[0].endswith(str(out))
    (found,), wanted = _weights_of(out), np.array(list(flame_face.arkit.values()))
    assert np.abs(found - wanted).mean() < 0.02 and np.abs(found - wanted).max() < 0.12
    table = pandas.read_csv(out)
    assert 0 < table["residual_mm"][0] < 0.1 * table["size_mm"][0]


def test_arkit_weights_become_coefficients(run, flame_pack: Path, flame_head: HeadModel, tmp_path: Path) -> None:
    names = ("jawOpen", "mouthSmileLeft", "browInnerUp", "eyeBlinkRight", "mouthPucker")
    wanted = np.zeros((len(names), 52), dtype=np.float32)
    wanted[range(len(names)), [ARKIT_NAMES.index(name) for name in names]] = 0.7
    write_arkit(tmp_path / "clip.csv", names, {"arkit": wanted})
    assert run(tmp_path / "clip.csv", "--to", flame_pack).code == 0
    with np.load(tmp_path / f"clip_{flame_pack.stem}.npz", allow_pickle=False) as saved:
        arrays = dict(saved)
    assert arrays["head"] == "flame" and arrays["expression_names"].tolist() == list(flame_head.expression_names)
    assert arrays["frames"].tolist() == list(names) and np.allclose(arrays["arkit"], wanted, atol=1e-5)
    fields = {name: torch.from_numpy(arrays[name]) for name in ("expression", "jaw", "eyelids", "eyes")}
    # The motion is where the action is: left and right, up and down on the face.
    still = flame_head(FaceParams(expression=torch.zeros(1, 100))).vertices[0]
    moved = (flame_head(FaceParams(**fields)).vertices - still).norm(dim=-1)
    middle_m = (moved[..., None] * still).sum(1) / moved.sum(1, keepdim=True)
    place = dict(zip(names, middle_m, strict=True))
    assert place["mouthSmileLeft"][0] > 0.01 and place["eyeBlinkRight"][0] < -0.01
    assert place["jawOpen"][1] < place["mouthPucker"][1] < place["eyeBlinkRight"][1] < place["browInnerUp"][1]
    assert moved.amax(dim=1).min() > 0.002
    back = tmp_path / "new" / "back.csv"
    assert run(tmp_path / f"clip_{flame_pack.stem}.npz", "--head", flame_pack, "--out", back).code == 0
    assert pandas.read_csv(back)["frame"].tolist() == list(names)
    found = _weights_of(back)
    assert (found.argmax(axis=1) == wanted.argmax(axis=1)).all()
    assert np.abs(found - wanted).mean() < 0.02


def test_results_of_one_head_on_another(run, flame_face: Face, result: Path) -> None:
    """The weights are in the file: no --head is needed, and the open head's coefficients are those weights."""
    assert run(result, "--to", "open").code == 0
    with np.load(result.with_name("photo_0_open.npz"), allow_pickle=False) as saved:
        assert saved["head"] == "open"
        assert np.allclose(saved["expression"], [list(flame_face.arkit.values())], atol=1e-6)


def test_results_of_the_open_head(run, make_face, tmp_path: Path) -> None:
    """Its coefficients are the weights; jaw and eyelids follow from them."""
    repeated = {"jaw": np.array([0.2, 0, 0], dtype=np.float32), "eyelids": np.full(2, 0.5, dtype=np.float32)}
    face = replace(make_face({"jawOpen": 0.6, "mouthSmileLeft": 0.3}), **repeated)
    face.save(tmp_path / "b_0.npz")
    assert run(tmp_path / "b_0.npz", "--out", tmp_path / "w.npz").code == 0
    with np.load(tmp_path / "w.npz", allow_pickle=False) as saved:
        assert np.allclose(saved["arkit"], [list(face.arkit.values())], atol=1e-3)
        assert saved["arkit_names"].tolist() == list(ARKIT_NAMES) and saved["residual_mm"] < 0.05


def test_many_frames_with_one_shape(run, flame_pack: Path, flame_face: Face, tmp_path: Path) -> None:
    """As another program writes them: its names, no head, one shape, fewer coefficients than the head has."""
    exp = np.linspace(0, 1, 4)[:, None] * flame_face.expression[None, :50]
    jaw = np.linspace(0, 1, 4)[:, None] * flame_face.jaw
    np.savez(tmp_path / "clip.npz", exp=exp, jaw_pose=jaw, betas=flame_face.shape[:100])
    assert run(tmp_path / "clip.npz", "--head", flame_pack).code == 0
    weights = _weights_of(tmp_path / "clip_arkit.csv")
    assert weights.shape == (4, 52)
    assert weights[0].max() < 0.01 and (np.diff(weights.sum(axis=1)) > 0).all()


def test_coefficients_of_another_head_are_wrong_usage(run, flame_pack: Path, result: Path, make_face) -> None:
    refused = run(result)
    assert refused.code == 2 and len(refused.err) == 1
    assert "photo_0.npz" in refused.err[0] and "'flame'" in refused.err[0] and "with --head" in refused.err[0]
    own = make_face().save(result.with_name("open_0.npz"))
    refused = run(own, "--head", flame_pack)
    assert refused.code == 2 and "of a head 'open'" in refused.err[0] and "with --head" in refused.err[0]
    assert not list(result.parent.glob("*_arkit.csv"))


@pytest.mark.parametrize(
    "arrays",
    [
        {"exp": np.full((2, 100), 0.3)},
        {"exp": np.full((2, 50), 0.3)},
        {"exp": np.full((2, 52), -1.5)},
        {"exp": np.full((2, 52), 0.3), "betas": np.zeros(300)},
    ],
)
def test_coefficients_without_a_head_are_not_assumed_to_be_of_the_open_head(
    arrays: dict[str, np.ndarray], run, tmp_path: Path
) -> None:
    np.savez(tmp_path / "clip.npz", **arrays)  # type: ignore[arg-type]
    refused = run(tmp_path / "clip.npz")
    assert refused.code == 2 and len(refused.err) == 1
    assert "clip.npz: its" in refused.err[0] and "name the file of the right head with --head" in refused.err[0]
    assert [path.name for path in tmp_path.iterdir()] == ["clip.npz"]


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (["clip.csv"], 2, "holds ARKit weights already"),
        (["clip.csv", "--to", "open", "--out", "new/x.csv"], 2, "must end in .npz"),
        (["clip.csv", "--out", "new/x.txt"], 2, "must end in .csv or .npz"),
        (["clip.csv", "--out", "sub/../clip.csv"], 2, "is an input itself"),
        (["clip.csv", "--to", "nowhere.pack", "--out", "new/x.npz"], 1, "nowhere.pack: no such head file"),
        (["missing.npz", "--out", "new/x.csv"], 1, "missing.npz: cannot be read as expressions (No such file"),
        (["clip.csv", "--to", "open", "--out", "clip.csv/x.npz"], 1, "cannot create the folder clip.csv"),
    ],
)
def test_refusals(
    words: list[str], code: int, reason: str, run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    write_arkit("clip.csv", ("a",), {"arkit": np.zeros((1, 52))})
    refused = run(*words)
    assert refused.code == code and not refused.out
    assert len(refused.err) == 1 and reason in refused.err[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.csv", "sub"]


def test_slow_first_use_is_announced(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from smirk3d.authoring import load

    def load_head(head: str = "open", *, report) -> HeadModel:
        report(f"building {head}")
        return usual(head)

    usual = load.load_head
    monkeypatch.setattr(load, "load_head", load_head)
    write_arkit(tmp_path / "clip.csv", ("a",), {"arkit": np.zeros((1, 52))})
    assert run(tmp_path / "clip.csv", "--to", "open").err[0] == "smirk3d: building open"


def test_messages_name_files_with_odd_names(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "tab\tand\nline.npz"
    np.savez(path, expression=np.zeros((2, 50)), other=np.zeros(2))
    assert main(["retarget", str(path), "--to", "open", "--out", str(tmp_path / "o.npz")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and all(r"tab\tand\nline.npz: " in line for line in lines)
