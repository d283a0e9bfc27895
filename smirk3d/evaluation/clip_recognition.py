"""Measures of the clip network: planted noise and difficulty in labels, other methods, key expressions, speed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from smirk3d.authoring.load import load_head
from smirk3d.datasets.synthetic.emotion_clips.clip_set import ClipTruth
from smirk3d.datasets.synthetic.emotion_clips.label_noise import noisy_labels
from smirk3d.datasets.synthetic.emotion_clips.motion import HARDNESS
from smirk3d.evaluation.clip_baselines import FramePooling, NoisyTraining, PlainGru
from smirk3d.fer.clips.agreement import VERDICTS
from smirk3d.fer.clips.network import ClipNetwork, load_clip_network
from smirk3d.fer.clips.predictor import sub_clip_predictions
from smirk3d.train.clip_emotion.clip_set import ClipSet
from smirk3d.train.clip_emotion.config import ClipTrainConfig
from smirk3d.train.clip_emotion.fit import fit_clip_network
from smirk3d.train.clip_emotion.label_review import LabelReview
from smirk3d.train.clip_emotion.measures import key_errors, measures_of
from smirk3d.train.clip_emotion.synthetic_data import SyntheticClipSet, synthetic_clip_set, weight_only_clips
from smirk3d.zoo.registry import find

NOISE = 0.3
TRAIN_SEED, TEST_SEED = 100, 102
CONFIG = ClipTrainConfig(kind="clips")
_SPEED_CLIPS = 64


@dataclass(frozen=True)
class ClipEvaluation:
    """What is measured.

    Attributes:
        rendered_clips: Rendered clips by which a network is measured.
        train_clips: Clips without pictures from which networks learn with wrong labels.
        test_clips: Clips of other people without pictures, by which these are measured.
        seeds: Number of trainings of each method, with different seeds of labels and weights.
        epochs: Passes of each training.
        path: Folder in which rendered clips are kept; None: in the cache.
    """

    rendered_clips: int = 128
    train_clips: int = 800
    test_clips: int = 320
    seeds: int = 3
    epochs: int = 12
    path: Path | None = None


def packaged_figures(weights: Path | None, settings: ClipEvaluation) -> list[str]:
    """Return recall, key expressions and speed of a clip network on synthetic clips as lines of text.

    Args:
        weights: File of `smirk3d fer train`; None: the packaged network.
        settings: The test clips.
    """
    network = load_clip_network(find("clips") if weights is None else weights)
    test = synthetic_clip_set(load_head("open"), settings.rendered_clips, TEST_SEED, path=settings.path)
    found = sub_clip_predictions(network, test.clips.features)
    lines = [f"{len(test.clips)} synthetic clips: {_recalls(found.mean, test)}"]
    for kind, name in enumerate(HARDNESS):
        rows = test.truth.hardness == kind
        measured = measures_of(found.mean[rows], test.truth.emotion[rows])
        lines.append(f"  {name}: WAR {measured.war:.1f}, agreement {found.agreement[rows].mean():.3f} ({rows.sum()})")
    inside, ends = key_errors(found, test.truth.apex, test.truth.key)
    lines.append(f"key expression: middle within the apex {100 * inside:.1f} %, ends off by {ends:.2f} frames")
    mean = measures_of(test.probabilities.mean(axis=1), test.truth.emotion)
    lines.append(f"mean of the expression network's probabilities of frames: WAR {mean.war:.1f}, UAR {mean.uar:.1f}")
    return [*lines, f"speed beyond tracking: {_frames_per_s(network, test):.0f} frames/s"]


def noise_figures(settings: ClipEvaluation, report: Callable[[str], None]) -> list[str]:
    """Return how training copes with wrong labels, in comparison with other methods, as lines of text.

    The clips have ARKit weights and angles with the errors of tracking, but no expression vectors: they are not
    rendered, so that occlusion is no difficulty in them, and blur only as larger errors.

    Args:
        settings: Clips and trainings.
        report: Receives a line after each training.
    """
    train = weight_only_clips(settings.train_clips, TRAIN_SEED)
    test = weight_only_clips(settings.test_clips, TEST_SEED)
    results: dict[str, list[float]] = {}
    found: dict[str, list[float]] = {}
    for seed in range(settings.seeds):
        for name, value in _trainings(train, test, replace(CONFIG, epochs=settings.epochs, seed=seed), found):
            results.setdefault(name, []).append(value)
            report(f"seed {seed}: {name}: UAR {value:.1f}")
    lines = [f"{name}: {_mean_and_range(values)}" for name, values in found.items()]
    return lines + [f"UAR, {name}: {_mean_and_range(values)}" for name, values in results.items()]


TruthAndClips = tuple[ClipSet, ClipTruth]


def _trainings(
    train: TruthAndClips, test: TruthAndClips, config: ClipTrainConfig, found: dict[str, list[float]]
) -> Iterator[tuple[str, float]]:
    """Yield name and UAR of each method; adds to `found` what the judgement of labels is worth."""
    right_clips, is_hard = train[0].without_keys(), train[1].hardness > 0
    label, is_wrong = noisy_labels(right_clips.label.numpy(), NOISE, np.random.default_rng([11, config.seed]))
    noisy = NoisyTraining(right_clips.relabelled(label), is_wrong, config)

    def uar(network: ClipNetwork) -> float:
        return measures_of(sub_clip_predictions(network, test[0].features).mean, test[1].emotion).uar

    fitted = fit_clip_network(noisy.clips, config)
    measures = judgement_measures(fitted.review, is_wrong, is_hard) | _key_measures(fitted.network, test)
    for name, value in measures.items():
        found.setdefault(name, []).append(value)
    yield "30 % wrong labels, judged by agreement", uar(fitted.network)
    yield "30 % wrong labels, plain training", uar(noisy.plain())
    yield "30 % wrong labels, small-loss selection", uar(noisy.small_loss())
    yield "30 % wrong labels, oracle", uar(noisy.oracle())
    if (find_label_issues := _cleanlab()) is not None:
        yield "30 % wrong labels, cleanlab", uar(noisy.cleanlab(find_label_issues))
    yield "30 % wrong labels, judged, without re-sampling", uar(_fit(noisy, resamples=False))
    yield "30 % wrong labels, judged, long-term stream only", uar(_fit(noisy, streams="long"))
    yield "30 % wrong labels, judged, short-term stream only", uar(_fit(noisy, streams="short"))
    plain = noisy.plain_config
    yield "right labels, both streams", uar(fit_clip_network(right_clips, plain).network)
    yield "right labels, GRU", uar(fit_clip_network(right_clips, plain, network=PlainGru()).network)
    yield "right labels, mean of frames", uar(fit_clip_network(right_clips, plain, network=FramePooling()).network)
    with_keys = fit_clip_network(train[0], plain).network
    for name, value in _key_measures(with_keys, test, "from its truth").items():
        found.setdefault(name, []).append(value)
    yield "right labels, both streams, key expressions from their truth", uar(with_keys)


def _cleanlab() -> Callable[..., np.ndarray] | None:
    """Return cleanlab's search for wrong labels; None where it is not installed."""
    try:
        from cleanlab.filter import find_label_issues  # type: ignore[import-not-found]
    except ImportError:
        return None
    return find_label_issues


def judgement_measures(review: LabelReview, is_wrong: np.ndarray, is_hard: np.ndarray) -> dict[str, float]:
    """Return how well wrong labels and difficulty are separated.

    Args:
        review: Judgement of N clips.
        is_wrong: (N,) bool, planted.
        is_hard: (N,) bool, planted independently.
    """
    evidence, is_noisy = review.evidence, review.verdict == VERDICTS.index("noisy")
    right = ~is_wrong
    return {
        "wrong labels found, AUROC": auroc(evidence.noise_score, is_wrong),
        "hard clips with right labels not called noisy, per cent": 100 * float(1 - is_noisy[is_hard & right].mean()),
        "other clips with right labels not called noisy, per cent": 100 * float(1 - is_noisy[~is_hard & right].mean()),
        "wrong labels called noisy, per cent": 100 * float(is_noisy[is_wrong].mean()),
        "difficulty by disagreement, AUROC": auroc(-evidence.agreement, is_hard),
    }


def auroc(score: np.ndarray, is_positive: np.ndarray) -> float:
    """Return the area under the ROC curve, by the rank sum of Mann and Whitney; ties count half."""
    n_positive = int(is_positive.sum())
    ranks = rankdata(score)[is_positive].sum()
    return float((ranks - n_positive * (n_positive + 1) / 2) / (n_positive * (len(score) - n_positive)))


def _fit(noisy: NoisyTraining, **changes: object) -> ClipNetwork:
    return fit_clip_network(noisy.clips, replace(noisy.config, **changes)).network  # type: ignore[arg-type]


def _key_measures(network: ClipNetwork, test: TruthAndClips, how: str = "from labels") -> dict[str, float]:
    inside, ends = key_errors(sub_clip_predictions(network, test[0].features), test[1].apex, test[1].key)
    return {
        f"key expression, learned {how}: middle within the apex, per cent": 100 * inside,
        f"key expression, learned {how}: ends off by, frames": ends,
    }


def _recalls(probabilities: np.ndarray, test: SyntheticClipSet) -> str:
    measured = measures_of(probabilities, test.truth.emotion)
    return f"WAR {measured.war:.1f}, UAR {measured.uar:.1f}"


def _frames_per_s(network: ClipNetwork, test: SyntheticClipSet) -> float:
    features = test.clips.features[:_SPEED_CLIPS]
    sub_clip_predictions(network, features[:2])
    began_s = time.perf_counter()
    for clip in features.split(1):
        sub_clip_predictions(network, clip)
    return features.shape[0] * features.shape[1] / (time.perf_counter() - began_s)


def _mean_and_range(values: list[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.3g}"
    return f"{np.mean(values):.3g} ({min(values):.3g} to {max(values):.3g} over {len(values)} seeds)"
