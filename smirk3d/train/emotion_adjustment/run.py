"""The run: logits of the training faces, choice, calibration, and the exported network with its header."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from smirk3d.fer.network import (
    VECTORS,
    ExpressionNetwork,
    description_of,
    load_expression_network,
    vectors_digest,
)
from smirk3d.networks.half_file import save_half
from smirk3d.train.emotion_adjustment.adjustment import adjustment_of, choose_strength
from smirk3d.train.emotion_adjustment.config import AdjustmentConfig
from smirk3d.train.expression_vector.config import FerDataConfig
from smirk3d.train.expression_vector.data import Windows, labelled_windows
from smirk3d.train.expression_vector.run import WEIGHTS_NAME
from smirk3d.train.expression_vector.validation import calibrate, predicted_logits
from smirk3d.train.provenance import DATA, MEASURES, provenance
from smirk3d.train.run_folder import claimed_folder
from smirk3d.train.schedule import step_generator
from smirk3d.train.small_network.run import Report, TrainResult, write_config
from smirk3d.zoo.registry import find

_TRAINING, _ADDED = "training", "added"
"""Entries of the header: that of the network before the adjustment, and what was added to the logits."""


def adjust_emotions(config: AdjustmentConfig, *, report: Report) -> TrainResult:
    """Adjust a trained expression network to rare emotions, and calibrate it again.

    An earlier adjustment is undone before.

    Raises:
        Smirk3dError: Data or weights cannot be read.
    """
    weights = config.out_dir / WEIGHTS_NAME
    with claimed_folder(config.out_dir):
        torch.set_num_threads(config.threads)
        path = find("expression") if config.init is None else config.init
        network, training = _trained_network(path)
        data = FerDataConfig(ferplus=config.data.ferplus, max_faces=config.data.max_faces)
        faces, val = labelled_windows(data, "train"), labelled_windows(data, "val")
        write_config(config)
        part = _part_of(faces, config)
        report(f"the strength is chosen by {len(part)} of {len(faces)} training faces")
        choice = choose_strength(predicted_logits(network, part), part.targets, config.strengths, config.largest_cost)
        for name, found in (("before", choice.before), (f"strength {choice.strength:g}", choice.after)):
            report(f"{name}: " + ", ".join(f"{key} {value:.4g}" for key, value in found.items()))
        added = adjustment_of(faces.targets, choice.strength)
        network.emotions.bias.add_(added)
        measures = calibrate(network, val) | {"strength": choice.strength}
        record = {DATA: {"train": faces.fingerprint, "val": val.fingerprint}, MEASURES: measures}
        origin = {
            _TRAINING: json.dumps(training),
            _ADDED: json.dumps([round(each, 6) for each in added.tolist()]),
            VECTORS: vectors_digest(path),
        }
        save_half(network, weights, {**provenance(config, record), **origin})
    return TrainResult(1, 1, weights, measures)


def _trained_network(path: Path) -> tuple[ExpressionNetwork, dict[str, str]]:
    """Return a network as its training left it, and the description in the header of its file."""
    network = load_expression_network(path)
    about = description_of(path)
    if _ADDED not in about:
        return network, about
    network.emotions.bias.sub_(torch.tensor(json.loads(about[_ADDED])))
    return network, json.loads(about[_TRAINING])


def _part_of(faces: Windows, config: AdjustmentConfig) -> Windows:
    """Return the faces by which the strength is chosen."""
    count = max(1, round(config.part * len(faces)))
    rows = torch.randperm(len(faces), generator=step_generator(config.seed, 0, 0))[:count]
    return Windows(faces.pixels[rows], faces.targets[rows])
