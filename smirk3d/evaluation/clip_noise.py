"""How the training of the clip network copes with wrong labels, in comparison with other methods."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from scipy.stats import rankdata

from smirk3d.datasets.synthetic.emotion_clips.label_noise import noisy_labels
from smirk3d.evaluation.clip_baselines import FramePooling, NoisyTraining, PlainGru
from smirk3d.evaluation.clip_recognition import ClipEvaluation
from smirk3d.fer.clips.agreement import VERDICTS
from smirk3d.fer.clips.network import ClipNetwork
from smirk3d.fer.clips.predictor import sub_clip_predictions
from smirk3d.train.clip_emotion.config import ClipTrainConfig, LabelReviewConfig
from smirk3d.train.clip_emotion.fit import fit_clip_network
from smirk3d.train.clip_emotion.label_review import LabelReview
from smirk3d.train.clip_emotion.measures import key_errors, measures_of
from smirk3d.train.clip_emotion.synthetic_data import SyntheticClipSet

NOISE = 0.3
CONFIG = ClipTrainConfig(kind="clips", review=LabelReviewConfig(warm_up=10))
"""Chosen, with the number of epochs, by other clips and other wrong labels than those of the measure."""


def noise_figures(test: SyntheticClipSet, settings: ClipEvaluation, report: Callable[[str], None]) -> list[str]:
    """Return how training copes with wrong labels, in comparison with other methods, as lines of text.

    Args:
        test: Clips by which networks are measured.
        settings: Clips to learn from, and trainings.
        report: Receives a line after each training.
    """
    train = settings.train()
    results: dict[str, list[float]] = {}
    found: dict[str, list[float]] = {}
    for seed in range(settings.seeds):
        config = replace(CONFIG, epochs=settings.epochs, seed=seed)
        for name, value in _trainings(train, test, config, found):
            results.setdefault(name, []).append(value)
            report(f"seed {seed}: {name}: UAR {value:.1f}")
    lines = [f"{name}: {_mean_and_range(values)}" for name, values in found.items()]
    return lines + [f"UAR, {name}: {_mean_and_range(values)}" for name, values in results.items()]


def _trainings(
    train: SyntheticClipSet, test: SyntheticClipSet, config: ClipTrainConfig, found: dict[str, list[float]]
) -> Iterator[tuple[str, float]]:
    """Yield name and UAR of each method; adds to `found` what the judgement of labels is worth."""
    right_clips, is_hard = train.clips.without_keys(), train.truth.hardness > 0
    label, is_wrong = noisy_labels(right_clips.label.numpy(), NOISE, np.random.default_rng([11, config.seed]))
    noisy = NoisyTraining(right_clips.relabelled(label), is_wrong, config)

    def uar(network: ClipNetwork) -> float:
        return measures_of(sub_clip_predictions(network, test.clips.features).mean, test.truth.emotion).uar

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
    with_keys = fit_clip_network(train.clips, plain).network
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


def _key_measures(network: ClipNetwork, test: SyntheticClipSet, how: str = "from labels") -> dict[str, float]:
    inside, ends = key_errors(sub_clip_predictions(network, test.clips.features), test.truth.apex, test.truth.key)
    return {
        f"key expression, learned {how}: middle within the apex, per cent": 100 * inside,
        f"key expression, learned {how}: ends off by, frames": ends,
    }


def _mean_and_range(values: list[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.3g}"
    return f"{np.mean(values):.3g} ({min(values):.3g} to {max(values):.3g} over {len(values)} seeds)"
