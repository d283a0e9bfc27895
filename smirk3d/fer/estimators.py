"""Expression vectors and emotions in scikit-learn's conventions."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from smirk3d.detection.detector import Detector
from smirk3d.errors import Smirk3dError
from smirk3d.estimation.photo_source import PhotoSource
from smirk3d.fer.emotions import EMOTIONS
from smirk3d.fer.photo_windows import stacked_windows
from smirk3d.fer.vectors import Expressions, expressions_of, vector_names

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
except ImportError as error:
    raise Smirk3dError(
        "ExpressionVector and EmotionClassifier need scikit-learn; pip install 'smirk3d[fer]'"
    ) from error


class ExpressionVector(TransformerMixin, BaseEstimator):
    """Photos to expression vectors; there is nothing to fit.

    Args:
        crops: The pictures are face crops framed as in FER2013, and no face is searched for.
        weights: File of `smirk3d fer train`; None: the packaged network.
    """

    def __init__(self, crops: bool = False, weights: str | os.PathLike[str] | None = None) -> None:
        self.crops = crops
        self.weights = weights

    def fit(self, X: Sequence[PhotoSource], y: Any = None) -> ExpressionVector:
        """Return itself.

        Args:
            X: Not read.
            y: Not read.
        """
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def transform(self, X: Sequence[PhotoSource]) -> np.ndarray:
        """Return the vectors (N, 256) float32 of the largest face of each photo.

        Args:
            X: N photos, each as for `Reconstructor`: paths, arrays, PIL images, bytes.

        Raises:
            NoFaceError: No face was found in a photo.
            Smirk3dError: A photo cannot be read.
        """
        return predicted_expressions(X, self.crops, self.weights).vectors

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the features, `expression_000` and so on."""
        return np.array(vector_names(), dtype=object)


class EmotionClassifier(ClassifierMixin, BaseEstimator):
    """Photos to probabilities of emotions: the packaged classes, or those of your own labels after `fit`.

    Args:
        crops: As for `ExpressionVector`.
        weights: As for `ExpressionVector`.
        C: Inverse strength of the ridge penalty of the classifier that `fit` trains on the expression vectors.

    Attributes:
        classes_: Names of the classes in the order of the probabilities; the eight emotions before `fit`.
    """

    def __init__(
        self,
        crops: bool = False,
        weights: str | os.PathLike[str] | None = None,
        C: float = 0.01,
    ) -> None:
        self.crops = crops
        self.weights = weights
        self.C = C

    @property
    def classes_(self) -> np.ndarray:
        """Names of the classes."""
        own = getattr(self, "probe_", None)
        return np.array(EMOTIONS) if own is None else own.classes_

    def fit(self, X: Sequence[PhotoSource], y: Sequence[Any]) -> EmotionClassifier:
        """Train a logistic regression on the expression vectors of labelled photos.

        Args:
            X: N photos.
            y: N labels, of at least two classes.
        """
        vectors = predicted_expressions(X, self.crops, self.weights).vectors
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=self.C, class_weight="balanced", max_iter=2000))
        self.probe_ = probe.fit(vectors, np.asarray(y))
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict_proba(self, X: Sequence[PhotoSource]) -> np.ndarray:
        """Return probabilities (N, C) in the order of `classes_`; photos as for `ExpressionVector.transform`."""
        predicted = predicted_expressions(X, self.crops, self.weights)
        own = getattr(self, "probe_", None)
        return predicted.probabilities if own is None else own.predict_proba(predicted.vectors)

    def predict(self, X: Sequence[PhotoSource]) -> np.ndarray:
        """Return the most probable class (N,) of each photo."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def predicted_expressions(
    photos: Sequence[PhotoSource], crops: bool, weights: str | os.PathLike[str] | None
) -> Expressions:
    """Return the predictions for the largest face of each photo."""
    if len(photos) == 0:
        raise Smirk3dError("there are no photos; pass a list of at least one")
    with ExitStack() as stack:
        detector = None if crops else stack.enter_context(Detector())
        windows = stacked_windows(photos, detector)
    return expressions_of(windows, weights)
