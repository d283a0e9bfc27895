"""`smirk3d evaluate` from flags to table, JSON and exit code."""

import csv
import json
from pathlib import Path

import pytest
import torch
from evaluation_faces import shards
from flame_layout import write_correspondence, write_flame_layout

from smirk3d.cli.main import main
from smirk3d.evaluation import suite
from smirk3d.evaluation.registry import MEASURES
from smirk3d.evaluation.retargeting_accuracy import SurfaceCorrespondence
from smirk3d.export import save_face
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


def run(*arguments: object) -> int:
    return main(["evaluate", *map(str, arguments), "--device", "cpu"])


def test_networks_on_photos(checkpoint, folder, tmp_path, capsys):
    out = tmp_path / "report.json"
    measures = f"{PHOTO_MEASURES},reconstruction,cycle"
    arguments = (checkpoint, "--data", folder, "--only", measures, "--out", out, "--renderer-steps", 1)
    assert run(*arguments, "--renderer-width", 2, "--count", 2) == 0
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
    ("arguments", "message"),
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
def test_wrong_usage(arguments, message, capsys):
    assert run(*arguments) == 2
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


def test_rendered_heads_and_a_character(make_face, tmp_path, capsys):
    path, out = save_face(make_face({}, seed=2), tmp_path / "hero.glb"), tmp_path / "report.csv"
    arguments = ("--only", "synthetic,pose,character", "--character", path, "--count", 2, "--keep", tmp_path / "kept")
    assert run("fit", *arguments, "--out", out) == 0
    capsys.readouterr()
    rows = list(csv.DictReader(out.open(newline="")))
    assert [row["measure"] for row in rows if row["figure"] in ("mean_error", "yaw_error_deg")] == [
        "synthetic", "pose", "character",
    ]  # fmt: skip
    assert {row["method"] for row in rows} == {"fit"} and {row["faces"] for row in rows} == {"2"}
    assert {file.name for file in (tmp_path / "kept").iterdir()} == {"synthetic.png", "character.png"}
    assert run("detector", "--only", "synthetic", "--count", 2) == 0
    assert "detector" in capsys.readouterr().out


@pytest.mark.slow
def test_tracking_and_retargeting(tmp_path, capsys):
    out = tmp_path / "report.json"
    arguments = ("--only", "video-accuracy,video-stability", "--seconds", 4, "--keep", tmp_path / "clips")
    assert run("fit", *arguments, "--out", out) == 0
    accuracy, stability = json.loads(out.read_text())["results"]
    assert accuracy["figures"]["pose_error_deg"] < 4 and stability["figures"]["pose_error_deg"] < 2
    assert stability["figures"]["tracked_frames_percent"] == 100
    assert {"talking_0.mp4", "talking_0.glb", "sample.csv"} <= {path.name for path in (tmp_path / "clips").iterdir()}
    model = tmp_path / "model.pkl"
    layout = write_flame_layout(model)
    write_correspondence(SurfaceCorrespondence.path_of(model), layout)
    assert run("fit", "--head", model, "--only", "retargeting", "--count", 20, "--out", out) == 0
    results = {result["method"]: result["figures"] for result in json.loads(out.read_text())["results"]}
    assert results["round_trip"]["mean_error"] < 0.003 and results["tracked"]["mean_error"] < 0.01
    assert results["open_head"]["max_error"] < 0.002 and set(results["speed"]) == {"to_arkit_s", "from_arkit_s"}


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
