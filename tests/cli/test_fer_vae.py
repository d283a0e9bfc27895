"""`smirk3d fer vae`: pictures, exit codes, lines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut

from smirk3d.cli.fer_vae import parse_amounts
from smirk3d.cli.main import main
from smirk3d.errors import UsageError
from smirk3d.fer.labelled_features import read_features
from smirk3d.fer.vae.attributes import PACKAGED
from smirk3d.fer.vae.network import N_LATENT, FaceVAE
from smirk3d.networks.half_file import save_half


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(0)
    network = FaceVAE(len(PACKAGED)).eval()
    network.directions.normal_()
    with torch.no_grad():
        list(network.decoder.parameters())[-2].normal_()
    path = tmp_path_factory.mktemp("weights") / "vae.safetensors"
    save_half(network, path, {})
    return str(path)


@pytest.fixture
def crop(tmp_path: Path) -> Path:
    path = tmp_path / "crop.png"
    Image.fromarray(astronaut()[40:200, 150:310]).save(path)
    return path


def test_a_sheet_of_reconstructions_and_a_table_of_codes(
    crop: Path, weights: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    out, codes = tmp_path / "sheet.jpg", tmp_path / "codes.npz"
    command = ["fer", "vae", "reconstruct", str(crop), str(tmp_path / "bad.png"), "--crops", "--weights", weights]
    assert main([*command, "--out", str(out), "--codes", str(codes)]) == 1
    captured = capsys.readouterr()
    assert "faces: 1, 1 images failed; PSNR" in captured.out and captured.err.count("bad.png") == 1
    assert Image.open(out).width == 256 and read_features(codes)[1].shape == (1, N_LATENT)


def test_samples_follow_the_seed(weights: str, tmp_path: Path) -> None:
    paths = [tmp_path / f"{k}.png" for k in range(3)]
    for path, seed in zip(paths, (1, 1, 2)):
        command = ["fer", "vae", "sample", "--count", "3", "--seed", str(seed), "--weights", weights]
        assert main([*command, "--out", str(path)]) == 0
    assert paths[0].read_bytes() == paths[1].read_bytes() != paths[2].read_bytes()


def test_an_interpolation_shows_both_ends(crop: Path, weights: str, tmp_path: Path) -> None:
    out = tmp_path / "row.png"
    command = ["fer", "vae", "interpolate", str(crop), str(crop), "--steps", "3", "--crops", "--weights", weights]
    assert main([*command, "--out", str(out)]) == 0
    row = np.asarray(Image.open(out))
    parts = np.split(row, 5, axis=1)
    assert (parts[0] == parts[4]).all() and (parts[1] == parts[3]).all() and (parts[0] != parts[1]).any()


def test_an_edit_changes_the_face_and_no_edit_does_not(crop: Path, weights: str, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    command = ["fer", "vae", "edit", str(crop), "--crops", "--weights", weights, "--out", str(out)]
    assert main([*command, "smile=+2", "frown=-0.5"]) == 0
    assert (np.asarray(Image.open(out)) != np.asarray(Image.open(crop))).any()
    assert main([*command, "smile=0"]) == 0
    assert (np.asarray(Image.open(out)) == np.asarray(Image.open(crop))).all()
    assert main([*command, "smile=1", "--compare"]) == 0 and Image.open(out).width == 2 * Image.open(crop).width
    assert main([*command, "smile=1", "--paste", "none"]) == 0 and Image.open(out).size == (64, 64)


def test_attribute_vectors_of_a_table_are_known_to_edit(weights: str, tmp_path: Path) -> None:
    rng, rows = np.random.default_rng(0), []
    (folder := tmp_path / "crops").mkdir()
    for k in range(40):
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize((64, 64)).save(folder / f"{k}.png")
        rows.append(f"{k}.png,{k % 2}")
    (tmp_path / "t.csv").write_text("\n".join(["image,odd", *rows]))
    command = ["fer", "vae", "attributes", str(folder), "--crops", "--weights", weights]
    vectors = str(tmp_path / "odd.npz")
    assert main([*command, "--table", str(tmp_path / "t.csv"), "--out", vectors]) == 0
    edit = ["fer", "vae", "edit", str(folder / "0.png"), "odd=1", "--attributes", vectors, "--crops"]
    assert main([*edit, "--weights", weights, "--out", str(tmp_path / "o.png")]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["edit", "a.png", "smile", "--out", "o.png"], "smile: write NAME=AMOUNT"),
        (["edit", "a.png", "smile=1", "--out", "o.txt"], "must end in .png"),
        (["sample", "--count", "0", "--out", "o.png"], "--count 0"),
        (["interpolate", "a.png", "b.png", "--steps", "1", "--out", "o.png"], "--steps 1"),
        (["attributes", "a.png", "--table", "t.csv", "--out", "o.csv"], "must end in .npz"),
    ],
)
def test_wrong_usage_is_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture) -> None:
    assert main(["fer", "vae", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_an_unknown_attribute_is_an_error(
    crop: Path, weights: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    command = ["fer", "vae", "edit", str(crop), "grin=1", "--crops", "--weights", weights]
    assert main([*command, "--out", str(tmp_path / "o.png")]) == 1
    assert "unknown attribute 'grin'; there are smile" in capsys.readouterr().err


def test_amounts_are_names_and_numbers() -> None:
    assert parse_amounts(("smile=+2", "open mouth=-0.5")) == {"smile": 2.0, "open mouth": -0.5}
    for text in ("smile=", "=1", "smile=1=2", "smile=nan", "smile=1.2.3"):
        with pytest.raises(UsageError, match="NAME=AMOUNT"):
            parse_amounts((text,))
    with pytest.raises(UsageError, match="each name once"):
        parse_amounts(("smile=1", "smile=2"))
