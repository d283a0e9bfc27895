"""`smirk3d evaluate` from flags to table, JSON and exit code."""

import json
from pathlib import Path

import pytest
import torch
from evaluation_faces import shards

from smirk3d.cli.main import main
from smirk3d.evaluation import suite
from smirk3d.evaluation.registry import MEASURES
from smirk3d.networks.checkpoint import save_networks
from smirk3d.networks.encoder import Encoder, EncoderConfig
from smirk3d.networks.neural_renderer import NeuralRenderer

SMALL = "tf_mobilenetv3_small_minimal_100"
PHOTO_MEASURES = "landmarks,mirror,jitter"


@pytest.fixture(scope="module")
def checkpoint(open_head, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("networks") / "random.safetensors"
    torch.manual_seed(0)
    encoder = Encoder(open_head.spec, EncoderConfig(SMALL, SMALL, SMALL), 64)
    save_networks(path, encoder=encoder, neural_renderer=NeuralRenderer(2), meta={})
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return shards(tmp_path_factory.mktemp("shards"))


def run(*words: object) -> int:
    return main(["evaluate", *map(str, words), "--device", "cpu"])


def test_networks_on_photos(checkpoint, folder, tmp_path, capsys):
    out = tmp_path / "report.json"
    measures = f"{PHOTO_MEASURES},reconstruction,cycle"
    words = (checkpoint, "--data", folder, "--only", measures, "--out", out, "--renderer-steps", 1)
    assert run(*words, "--renderer-width", 2, "--count", 2) == 0
    table = capsys.readouterr().out
    assert all(name in table for name in (*measures.split(","), "mean_percent", "worst difference", "l1_face"))
    report = json.loads(out.read_text())
    assert report["about"]["checkpoint"] == str(checkpoint) and report["about"]["method"] == "encoder"
    assert [result["measure"] for result in report["results"]] == measures.split(",")
    assert {result["faces"] for result in report["results"]} == {2}
    assert 0 < report["results"][1]["figures"]["mean_difference"] < 1


def test_a_named_measure_that_does_not_apply_is_refused(folder, capsys):
    assert run("fit", "--data", folder, "--only", "cycle") == 2
    assert "cycle: needs an encoder" in capsys.readouterr().err
    assert run("fit", "--only", "mirror") == 2
    assert "--data" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("fit", "--only", "beauty"), "measure 'beauty' is unknown"),
        (("fit", "--count", "0"), "count 0"),
        (("fit", "--renderer-steps", "0"), "--renderer-steps"),
        (("fit", "--out", "nowhere/report.json"), "its folder does not exist"),
        (("fit", "--people", "0"), "--people must be 1 or more"),
        (("fit", "--only", "character"), "character: needs another head; name a .glb"),
        (("fit", "--only", "retargeting"), "retargeting: needs another head model"),
        (("detector", "--only", "pose"), "pose: needs reconstructed heads"),
        (("--suite", "nonsense"), "suite 'nonsense' is unknown"),
        ((), "name a CHECKPOINT"),
    ],
)
def test_wrong_usage(words, message, capsys):
    assert run(*words) == 2
    assert message in capsys.readouterr().err


def test_missing_files(folder, checkpoint, tmp_path, capsys):
    assert run(tmp_path / "none.pt", "--data", folder) == 1
    assert "none.pt" in capsys.readouterr().err
    assert run(checkpoint, "--data", tmp_path, "--only", "landmarks") == 1
    assert "no val-*.tar" in capsys.readouterr().err


def test_damaged_faces_are_reported(checkpoint, folder, tmp_path, capsys):
    shard = tmp_path / "val-000000.tar"
    shard.write_bytes((folder / "val-000000.tar").read_bytes()[:-12000])
    assert run(checkpoint, "--data", tmp_path, "--only", "landmarks") == 1
    captured = capsys.readouterr()
    assert "mean_percent" in captured.out and "damaged after" in captured.err


def test_packaged_weights(checkpoint, folder, monkeypatch, capsys):
    monkeypatch.setattr("smirk3d.evaluation.method_under_test.packaged_encoder", lambda: None)
    assert run("packaged", "--data", folder) == 1
    assert "no packaged weights" in capsys.readouterr().err
    monkeypatch.setattr("smirk3d.evaluation.method_under_test.packaged_encoder", lambda: checkpoint)
    assert run("packaged", "--data", folder, "--only", "landmarks", "--count", 1) == 0
    captured = capsys.readouterr()
    assert "landmarks" in captured.out and "deprecated" not in captured.err


def test_old_words_work_with_a_note(checkpoint, monkeypatch, capsys):
    monkeypatch.setattr("smirk3d.evaluation.method_under_test.packaged_encoder", lambda: checkpoint)
    assert run("shipped", "--only", "truth,beauty") == 2
    error = capsys.readouterr().err
    assert "CHECKPOINT shipped is deprecated" in error and "use packaged" in error
    assert "--only truth is deprecated" in error and "use synthetic" in error and "'beauty' is unknown" in error


def test_the_list_describes_every_measure(capsys):
    assert main(["evaluate", "--list"]) == 0
    text = capsys.readouterr().out
    for measure in MEASURES:
        assert f"{measure.name}: {measure.summary}" in text and f"--only {measure.name}" in text
        assert all(figure.name in text for figure in measure.figures)


def test_the_suite_goes_on_without_its_inputs(monkeypatch, tmp_path, capsys):
    items = tuple(item for item in suite.README_SUITE if item.measure in ("landmarks", "character", "retargeting"))
    monkeypatch.setitem(suite.SUITES, "readme", items)
    out = tmp_path / "figures.csv"
    assert main(["evaluate", "--suite", "readme", "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert len(lines) == len(items) and all(": not run: needs " in line for line in lines)
    assert len(out.read_text().splitlines()) == 1 + len(items)
    assert main(["evaluate", "packaged", "--suite", "readme"]) == 2
    assert "takes no CHECKPOINT" in capsys.readouterr().err
