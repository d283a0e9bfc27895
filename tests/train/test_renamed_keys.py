"""Deprecated keys of configurations and of checkpoints."""

from __future__ import annotations

import pytest

from smirk3d.train import renamed_keys
from smirk3d.train.renamed_keys import current_key, with_current_keys


def test_old_keys_and_items_get_their_current_names_with_a_note_each() -> None:
    tree = {
        "backbones": {"pose_backbone": "small"},
        "data": {"sources": [{"kind": "rendered", "unlike": 0.5}, {"path": "photos"}], "most_per_person": 3},
        "stage": {"trainable": ["expression", "generator"]},
    }
    notes: list[str] = []
    assert with_current_keys(tree, notes.append) == {
        "encoder": {"pose_backbone": "small"},
        "data": {
            "sources": [{"kind": "rendered", "domain_randomization": 0.5}, {"path": "photos"}],
            "max_per_person": 3,
        },
        "stage": {"trainable": ["expression", "neural_renderer"]},
    }
    assert sorted(notes) == [
        "generator in stage.trainable is deprecated; use neural_renderer",
        "the key backbones is deprecated; use encoder",
        "the key data.most_per_person is deprecated; use data.max_per_person",
        "the key data.sources.*.unlike is deprecated; use data.sources.*.domain_randomization",
    ]


def test_current_keys_and_other_data_stay_without_a_note() -> None:
    tree = {"encoder": {"window": None}, "augment": {"color": 0.1}, 3: [1, {"backbones": 2}]}
    assert with_current_keys(tree, pytest.fail) == tree
    assert with_current_keys(["backbones"], pytest.fail) == ["backbones"]


def test_an_old_key_beside_its_current_one_stays() -> None:
    tree = {"augment": {"colour": 0.1, "color": 0.2}}
    assert with_current_keys(tree, pytest.fail) == tree


@pytest.mark.parametrize(
    ("key", "current"),
    [
        ("backbones.pose_backbone", "encoder.pose_backbone"),
        ("stage.cycle.perturb.little_noise", "stage.cycle.perturb.small_noise"),
        ("data.size", "data.size"),
        ("", ""),
    ],
)
def test_keys_of_overrides(key: str, current: str) -> None:
    assert current_key(key) == current


def test_every_renamed_key_leads_to_one_that_exists() -> None:
    from smirk3d.train.config import TrainConfig
    from smirk3d.train.config_file import known_keys
    from smirk3d.train.reenactment.config import ReenactmentTrainConfig

    known = {*known_keys(TrainConfig), *known_keys(ReenactmentTrainConfig), "data.sources.*.domain_randomization"}
    for old, new in renamed_keys._RENAMED_KEYS.items():
        parent = old.rpartition(".")[0]
        assert f"{parent}.{new}".lstrip(".") in known
        assert old not in known
