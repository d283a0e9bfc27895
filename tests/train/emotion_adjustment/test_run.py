"""A tiny run of the adjustment: what stays, what changes, and what the header states."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from smirk3d.assets import sha256
from smirk3d.cli.main import main
from smirk3d.fer.emotions import EMOTIONS
from smirk3d.fer.network import ExpressionNetwork, load_expression_network, vectors_digest
from smirk3d.networks.half_file import save_half

RECIPE = str(Path(__file__).parents[3] / "configs" / "recipes" / "fer_emotions.yaml")


@pytest.fixture(scope="module")
def ferplus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty faces: of the second emotion bright below, of the first one above; every fifth is of the second."""
    folder, random = tmp_path_factory.mktemp("ferplus"), np.random.default_rng(0)
    rows = [",".join(["key", "split", *EMOTIONS, "unknown", "not_a_face"])]
    for split, count in (("train", 40), ("val", 20)):
        with tarfile.open(folder / f"{split}.tar", "w") as archive:
            for k in range(count):
                is_second = k % 5 == 0
                rows.append(f"{split}{k},{split},{2 if is_second else 8},{8 if is_second else 2},0,0,0,0,0,0,0,0")
                pixels = random.integers(40, 90, (48, 48), dtype=np.uint8)
                pixels[24 * is_second : 24 * is_second + 24] += 120
                Image.fromarray(pixels).save(file := io.BytesIO(), "PNG")
                info = tarfile.TarInfo(f"{split}{k}.png")
                info.size = file.tell()
                archive.addfile(info, io.BytesIO(file.getvalue()))
    (folder / "labels.csv").write_text("\n".join(rows))
    return folder


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that was never trained, at a small size."""
    torch.manual_seed(0)
    untrained = ExpressionNetwork().eval()
    untrained.input_px.fill_(32)
    path = tmp_path_factory.mktemp("network") / "n.safetensors"
    save_half(untrained, path, {"seed": "7"})
    return path


def _train(network: Path, ferplus: Path, out: Path) -> dict[str, str]:
    """Run the recipe; returns the header of its file."""
    overrides = [f"init={network}", f"data.ferplus={ferplus}", f"out_dir={out}", "largest_cost=100", "strengths=[0.5]"]
    assert main(["fer", "train", RECIPE, *overrides]) == 0
    with safe_open(out / "expression.safetensors", framework="pt") as file:
        return json.loads(file.metadata()["about"])


def test_only_the_bias_and_the_temperature_change(network: Path, ferplus: Path, tmp_path: Path) -> None:
    about = _train(network, ferplus, tmp_path / "a")
    before, after = (load_expression_network(path) for path in (network, tmp_path / "a" / "expression.safetensors"))
    changed = {name for name, value in after.state_dict().items() if not value.equal(before.state_dict()[name])}
    assert changed == {"emotions.bias", "temperature"}
    strength, added = json.loads(about["measures"])["strength"], torch.tensor(json.loads(about["added"]))
    assert strength == 0.5 and added[:2].abs().max() == 0 and (added[2:] > 1).all()  # six emotions do not occur
    assert torch.allclose(after.emotions.bias, before.emotions.bias + added, atol=5e-3)
    assert json.loads(about["training"]) == {"seed": "7"} and "strengths" in about["config"]


def test_an_adjusted_network_is_adjusted_as_its_original(network: Path, ferplus: Path, tmp_path: Path) -> None:
    first = _train(network, ferplus, tmp_path / "a")
    again = _train(tmp_path / "a" / "expression.safetensors", ferplus, tmp_path / "b")
    assert again["added"] == first["added"] and again["training"] == first["training"]
    assert first["vectors"] == again["vectors"] == vectors_digest(network) == sha256(network)[:16]
    one, two = (load_expression_network(tmp_path / name / "expression.safetensors") for name in "ab")
    assert one.emotions.bias.equal(two.emotions.bias)


def test_there_is_nothing_to_resume(ferplus: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["fer", "train", RECIPE, f"data.ferplus={ferplus}", "--resume"]) == 2
    assert "no checkpoints" in capsys.readouterr().err
