"""Emotions of clips in scikit-learn's conventions."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from smirk3d.errors import Smirk3dError
from smirk3d.estimation.reconstructor import Reconstructor
from smirk3d.fer.clips.recognizer import ClipEmotion, recognize_clip_emotion
from smirk3d.fer.emotions import EMOTIONS
from smirk3d.media.video import open_source

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
except ImportError as error:
    raise Smirk3dError("ClipEmotionClassifier needs scikit-learn; pip install 'smirk3d[fer]'") from error

_MIN_PROBABILITY = 1e-4


class ClipEmotionClassifier(ClassifierMixin, BaseEstimator):
    """Clips to probabilities of emotions: the packaged classes, or those of your own labels after `fit`.

    Args:
        weights: File of the clip network; None: the packaged one.
        expression: Weights of the expression network; None: the packaged ones.
        C: Inverse strength of the ridge penalty of the classifier that `fit` trains on the logits of the emotions and
            the mean features of the frames.
    """

    def __init__(
        self,
        weights: str | os.PathLike[str] | None = None,
        expression: str | os.PathLike[str] | None = None,
        C: float = 0.1,
    ) -> None:
        self.weights = weights
        self.expression = expression
        self.C = C

    @property
    def classes_(self) -> np.ndarray:
        """Names of the classes in the order of the probabilities."""
        own = getattr(self, "probe_", None)
        return np.array(EMOTIONS) if own is None else own.classes_

    def fit(self, X: Sequence[str | os.PathLike[str]], y: Sequence[Any]) -> ClipEmotionClassifier:
        """Train a logistic regression on what the network predicts of labelled clips.

        Args:
            X: N paths of video files or folders of frames.
            y: N labels, of at least two classes.
        """
        features = _features(self.recognize(X))
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=self.C, class_weight="balanced", max_iter=2000))
        self.probe_ = probe.fit(features, np.asarray(y))
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict_proba(self, X: Sequence[str | os.PathLike[str]]) -> np.ndarray:
        """Return probabilities (N, C) in the order of `classes_`.

        Args:
            X: N paths of video files or folders of frames.

        Raises:
            NoFaceError: There is no face in a clip.
            Smirk3dError: A clip cannot be read.
        """
        found = self.recognize(X)
        own = getattr(self, "probe_", None)
        if own is not None:
            return own.predict_proba(_features(found))
        return np.array([[each.probabilities[name] for name in EMOTIONS] for each in found])

    def predict(self, X: Sequence[str | os.PathLike[str]]) -> np.ndarray:
        """Return the most probable class (N,) of each clip."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def recognize(self, X: Sequence[str | os.PathLike[str]]) -> list[ClipEmotion]:
        """Return emotion, key expression and agreement of each clip; otherwise as `predict_proba`."""
        if len(X) == 0:
            raise Smirk3dError("there are no clips; pass a list of at least one path")
        with closing(Reconstructor()) as reconstructor:
            return [
                recognize_clip_emotion(
                    open_source(str(Path(path))), reconstructor, weights=self.weights, expression=self.expression
                )
                for path in X
            ]


def _features(found: Sequence[ClipEmotion]) -> np.ndarray:
    """Return the logits of the emotions and the mean features of the frames of clips, (N, 8 + D)."""
    rows = []
    for each in found:
        logits = np.log([max(each.probabilities[name], _MIN_PROBABILITY) for name in EMOTIONS])
        rows.append(np.concatenate([logits, each.clip.features.mean(axis=0)]))
    return np.stack(rows)
