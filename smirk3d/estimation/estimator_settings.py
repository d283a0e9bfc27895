"""The settings of a reconstruction: checked at once, and made into the estimator that they describe."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch

from smirk3d.assets import printable
from smirk3d.authoring.load import load_head
from smirk3d.errors import InvalidOptionError, Smirk3dError, UsageError
from smirk3d.estimation.estimator import Estimator
from smirk3d.estimation.fusion import FusionEstimator, expression_std
from smirk3d.estimation.identity_network import identity_network_of
from smirk3d.estimation.landmark_fit import Focal, LandmarkFitEstimator
from smirk3d.estimation.regression import RegressionEstimator, crop_encoder, head_for, window_encoder
from smirk3d.geometry.camera import MAX_FOCAL_PX, MIN_FOCAL_PX
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.head.retargeting.retargeter import find_retargeter
from smirk3d.networks.encoder import Encoder, predicts_arkit
from smirk3d.networks.packaged import packaged_encoder

Method = Literal["auto", "fit", "encoder", "refine"]
Engine = Literal["torch", "onnx"]

AUTO_METHOD: Literal["encoder", "refine"] = "refine"
"""What the method "auto" means where there are weights, given or packaged; without weights it is "fit"."""


@dataclass(frozen=True, eq=False)
class EstimatorSettings:
    """What determines an estimator; attributes as the arguments of `Reconstructor`.

    Raises:
        InvalidOptionError: A value is not one that its option takes.
    """

    head: str | os.PathLike[str] | HeadModel
    method: Method
    device: str | torch.device
    focal: Focal
    use_scores: bool
    weights: str | os.PathLike[str] | None
    engine: Engine

    def __post_init__(self) -> None:
        # Callers without a type checker pass anything.
        check_choice("method", self.method, get_args(Method))
        check_choice("engine", self.engine, get_args(Engine))
        _check_focal(self.focal)
        _check_type("use_scores", self.use_scores, (bool, np.bool_), "True or False")
        _check_type("head", self.head, (str, os.PathLike, HeadModel), "'open', a path or a head model")
        _check_type("weights", self.weights, (str, os.PathLike, type(None)), "a path or None")
        _check_type("device", self.device, (str, torch.device), "auto, cpu or cuda")

    def make_estimator(self) -> Estimator:
        """Load head and weights, and return the estimator.

        Raises:
            UsageError: Method, weights, head, engine and device do not go together.
            Smirk3dError: Head or weights cannot be read, or the device or the engine is not available.
        """
        choice = _choose(self.method, None if self.weights is None else Path(self.weights), self.engine)
        device = _device(self.device)
        if choice.weights is None:
            return LandmarkFitEstimator(_loaded(self.head).to(device), self.focal, self.use_scores)
        if choice.method == "encoder":
            return _regression_estimator(self.head, choice.weights, self.engine, device)
        return _fusion_estimator(self.head, choice.weights, self.engine, device, self.focal, self.use_scores)


def check_choice(option: str, value: object, choices: tuple[str, ...]) -> None:
    """Check a value against the choices of an option.

    Raises:
        InvalidOptionError: It is none of them.
    """
    if not isinstance(value, str) or value not in choices:
        raise InvalidOptionError(
            f"{option} {_shown(value)} is unknown; choose {', '.join(choices[:-1])} or {choices[-1]}"
        )


def checked_max_faces(max_faces: Any) -> int | None:
    """Return the largest number of faces as an int or None.

    Raises:
        InvalidOptionError: It is no whole number from 1.
    """
    if max_faces is None:
        return None
    if isinstance(max_faces, bool) or not isinstance(max_faces, Integral) or max_faces < 1:
        raise InvalidOptionError(f"max_faces must be a whole number from 1, or None, not {_shown(max_faces)}")
    return int(max_faces)


def _check_focal(focal: object) -> None:
    if isinstance(focal, str) and focal in ("auto", "orthographic"):
        return
    if isinstance(focal, bool) or not isinstance(focal, Real) or not MIN_FOCAL_PX <= float(focal) <= MAX_FOCAL_PX:
        limits = f"from {MIN_FOCAL_PX:g} to {MAX_FOCAL_PX:.0f}"
        raise InvalidOptionError(
            f"focal must be 'auto', 'orthographic' or a positive number of pixels, {limits}, not {_shown(focal)}"
        )


def _check_type(option: str, value: object, types: tuple[type, ...], wanted: str) -> None:
    if not isinstance(value, types):
        raise InvalidOptionError(f"{option} must be {wanted}, not {_shown(value)}")


def _shown(value: object) -> str:
    return printable(repr(value))[:80]


@dataclass(frozen=True)
class _Choice:
    """A method with its weights; None for "fit"."""

    method: Literal["fit", "encoder", "refine"]
    weights: Path | None


def _choose(method: Method, given: Path | None, engine: Engine) -> _Choice:
    """Resolve "auto" and the weights, and refuse combinations that cannot work."""
    if method == "fit" and given is not None:
        raise UsageError(f"{given}: method 'fit' uses no weights; leave --weights out, or use --method refine")
    weights = packaged_encoder() if given is None else given
    if method == "fit" or (method == "auto" and weights is None):
        if engine != "torch":
            raise UsageError(f"engine {engine!r} runs an encoder, and method 'fit' has none; choose another method")
        return _Choice("fit", None)
    if weights is None:
        raise UsageError(
            f"method {method!r} needs trained weights, and this installation comes with none; name them with "
            "--weights, or use --method fit"
        )
    return _Choice(AUTO_METHOD if method == "auto" else method, weights)


def _regression_estimator(
    head: str | os.PathLike[str] | HeadModel, weights: Path, engine: Engine, device: torch.device
) -> Estimator:
    """Return the method "encoder", with the head in the encoder's sizes."""
    model = _loaded(head)
    if weights == packaged_encoder() and model.expression_names != ARKIT_NAMES:
        raise UsageError(
            f"method 'encoder' needs weights for the head {model.data.name!r}, the package's own are for the open "
            "head; name yours with --weights, or use --method refine"
        )
    encoder = _intact_encoder(weights)
    model = head_for(encoder.spec, model, weights).to(device)
    return RegressionEstimator(model, crop_encoder(encoder, engine, device))


def _fusion_estimator(
    head: str | os.PathLike[str] | HeadModel,
    weights: Path,
    engine: Engine,
    device: torch.device,
    focal: Focal,
    use_scores: bool,
) -> Estimator:
    """Return the method "refine"."""
    encoder, model = _intact_encoder(weights), _loaded(head)
    # Coefficients other than ARKit weights mean something on the encoder's own head only.
    is_native = not predicts_arkit(encoder.spec)
    model = (head_for(encoder.spec, model, weights) if is_native else model).to(device)
    fitter = LandmarkFitEstimator(model, focal, use_scores)
    if encoder.config.window is None:
        expression_encoder = crop_encoder(encoder, engine, device, expression_only=True)
    else:
        expression_encoder = window_encoder(encoder, engine, device)
    own_retargeter = find_retargeter(model) if is_native else None
    identity = identity_network_of(model)
    return FusionEstimator(fitter, expression_encoder, expression_std(weights), own_retargeter, identity=identity)


def _loaded(head: str | os.PathLike[str] | HeadModel) -> HeadModel:
    return head if isinstance(head, HeadModel) else load_head(head if isinstance(head, str) else Path(head))


def _intact_encoder(weights: Path) -> Encoder:
    """Return the encoder of a checkpoint, all numbers of which are finite."""
    encoder = Encoder.from_checkpoint(weights)
    if not all(bool(values.isfinite().all()) for values in encoder.state_dict().values()):
        raise Smirk3dError(
            f"{printable(weights)}: its weights have numbers that are not finite (NaN or infinite); use an intact file"
        )
    return encoder


def _device(device: str | torch.device) -> torch.device:
    name = str(device)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise InvalidOptionError(f"device {_shown(name)} is unknown; choose auto, cpu or cuda")
    if name.startswith("cuda"):
        if not torch.cuda.is_available():
            raise Smirk3dError(f"device {name!r} is not available; use --device cpu")
        count = torch.cuda.device_count()
        if int(name.partition(":")[2] or 0) >= count:
            raise Smirk3dError(f"device {name!r} is not available; there are cuda:0 to cuda:{count - 1}")
    return torch.device(name)
