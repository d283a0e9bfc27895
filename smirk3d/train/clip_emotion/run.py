"""The training run of the clip network, from its configuration to weights and report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from smirk3d.assets import atomic_path
from smirk3d.authoring.load import load_head
from smirk3d.datasets.synthetic.emotion_clips.label_noise import noisy_labels
from smirk3d.errors import Smirk3dError
from smirk3d.fer.clips.network import EXPRESSION_DIGEST, expression_digest
from smirk3d.fer.emotions import EMOTIONS
from smirk3d.networks.half_file import save_half
from smirk3d.train.clip_emotion.clip_set import ClipSet
from smirk3d.train.clip_emotion.config import ClipTrainConfig
from smirk3d.train.clip_emotion.fit import FittedClips, fit_clip_network
from smirk3d.train.clip_emotion.measures import ClipMeasures, calibrate, measure_clips
from smirk3d.train.clip_emotion.photo_vectors import photo_vectors
from smirk3d.train.clip_emotion.real_data import real_clip_set
from smirk3d.train.clip_emotion.synthetic_data import synthetic_clip_set, weight_only_clips
from smirk3d.train.config_file import to_yaml
from smirk3d.train.provenance import DATA, MEASURES, provenance
from smirk3d.train.run_folder import CONFIG_NAME, claimed_folder, find_start

WEIGHTS_NAME, CONFUSION_NAME = "clips.safetensors", "confusion.csv"
Report = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class ClipResult:
    """How a run ended.

    Attributes:
        measures: WAR, UAR and so on of the test or validation clips.
        fitted: The network and its judgement of the labels.
        clips: The clips it has learned from.
        paths: Clip -> file, of clips that are files.
    """

    measures: Mapping[str, float]
    fitted: FittedClips
    clips: ClipSet
    paths: Mapping[str, Path]


def train_clip_network(config: ClipTrainConfig, *, report: Report) -> ClipResult:
    """Train the clip network; all results are in `config.out_dir`.

    Args:
        config: The run.
        report: Receives one-line messages.

    Raises:
        UsageError: The folder is not empty.
        Smirk3dError: Data cannot be used, or the loss is not finite.
    """
    with claimed_folder(config.out_dir):
        find_start(config.out_dir, False, report)
        torch.set_num_threads(config.threads)
        train, test, paths = _clips(config, report)
        config.out_dir.mkdir(parents=True, exist_ok=True)
        with atomic_path(config.out_dir / CONFIG_NAME) as temporary:
            temporary.write_text(to_yaml(config), encoding="utf-8")
        report(f"{len(train)} clips to learn from, {len(test)} to measure")
        fitted = fit_clip_network(train, config, report)
        found = measure_clips(fitted.network, test)
        measures = {"war": found.war, "uar": found.uar, "temperature": calibrate(fitted.network, test)}
        record = {DATA: {"train": train.fingerprint, "test": test.fingerprint}, MEASURES: measures}
        about = {EXPRESSION_DIGEST: expression_digest(config.expression), **provenance(config, record)}  # type: ignore[arg-type]
        save_half(fitted.network, weights_path(config), about)
        _write_confusion(config.out_dir / CONFUSION_NAME, found)
    return ClipResult(measures, fitted, train, paths)


def weights_path(config: ClipTrainConfig) -> Path:
    """Return the path of the weights that a run writes."""
    return config.out_dir / WEIGHTS_NAME


def _clips(config: ClipTrainConfig, report: Report) -> tuple[ClipSet, ClipSet, dict[str, Path]]:
    """Return the clips to learn from, those to measure, and the files of the former.

    Measured are the test clips of the data sets; without data sets synthetic ones.
    """
    parts, paths = _synthetic(config, report), {}
    real = real_clip_set(config.data, "train", config.expression, report)
    if real is not None:
        clips, files = real
        parts.append(clips)
        paths = dict(zip(clips.names, files))
    if not parts:
        raise Smirk3dError("no clips to learn from; give data.folder or another data set, or data.synthetic.count")
    test = real_clip_set(config.data, "test", config.expression, report)
    if test is not None:
        return ClipSet.joined(parts), test[0], paths
    synthetic = config.data.synthetic
    validation = synthetic_clip_set(
        load_head("open"), synthetic.validation, synthetic.seed + 1, config.expression, synthetic.path
    )
    return ClipSet.joined(parts), validation.clips, paths


def _synthetic(config: ClipTrainConfig, report: Report) -> list[ClipSet]:
    settings, parts = config.data.synthetic, []
    if settings.count:
        head = load_head("open", report=report)
        parts.append(synthetic_clip_set(head, settings.count, settings.seed, config.expression, settings.path).clips)
    if settings.weights_only:
        photos = settings.photos and photo_vectors(settings.photos, config.expression, settings.seed)
        parts.append(weight_only_clips(settings.weights_only, settings.seed, photos)[0])
    if settings.label_noise:
        rng = np.random.default_rng([settings.seed, 3])
        parts = [each.relabelled(noisy_labels(each.label.numpy(), settings.label_noise, rng)[0]) for each in parts]
    return parts if settings.key_truth else [each.without_keys() for each in parts]


def _write_confusion(path: Path, found: ClipMeasures) -> None:
    lines = [",".join(("true", *EMOTIONS))]
    lines += [",".join((name, *map(str, row.tolist()))) for name, row in zip(EMOTIONS, found.confusion)]
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
