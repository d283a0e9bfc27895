"""Facts about its run in the header of an exported file."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from training_run import tiny_run

from smirk3d.train import provenance as module
from smirk3d.train.config_file import to_yaml
from smirk3d.train.provenance import commit, data_fingerprint, provenance


class Faces:
    def __init__(self, fingerprint: str) -> None:
        self.fingerprint = fingerprint


def test_data_differ_by_their_content_and_order() -> None:
    found = {data_fingerprint(map(Faces, names)) for names in (["a", "b"], ["b", "a"], ["a"], ["ab"])}
    assert len(found) == 4 and data_fingerprint([Faces("a")]) == data_fingerprint([Faces("a")])


def test_facts_are_texts() -> None:
    config = tiny_run(Path("out"), seed=3)
    found = provenance(config, {"data": {"core": "12"}, "measures": {"core": {"cycle": 0.5}}, "other": 1})
    assert found["seed"] == "3" and found["config"] == to_yaml(config) and found["commit"] == commit()
    assert json.loads(found["measures"]) == {"core": {"cycle": 0.5}} and json.loads(found["data"]) == {"core": "12"}
    assert set(found) == {"seed", "commit", "config", "data", "measures"}


def test_absolute_paths_are_reduced_to_their_last_part(tmp_path: Path) -> None:
    found = provenance(tiny_run(tmp_path / "private" / "run"), {})["config"]
    assert "out_dir: run\n" in found and str(tmp_path) not in found
    assert "out_dir: out/run\n" in provenance(tiny_run(Path("out/run")), {})["config"]


def test_outside_of_a_checkout_the_version_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*words: object, **options: object) -> None:
        raise FileNotFoundError("git")

    commit.cache_clear()
    monkeypatch.setattr(subprocess, "run", fail)
    assert module.commit().startswith("version ")
    commit.cache_clear()
