"""What the losses of a training step need besides the trained networks: head, masking, frozen networks, templates."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from smirk3d.assets import printable
from smirk3d.datasets.synthetic.expression_templates import templates_for
from smirk3d.errors import Smirk3dError
from smirk3d.head.model import HeadModel
from smirk3d.masking import MaskingConfig
from smirk3d.params import FaceParams
from smirk3d.train.config import StageConfig, TrainConfig
from smirk3d.train.losses.emotion import Features, emotion_features
from smirk3d.train.losses.mica import Identity, mica_identity
from smirk3d.train.losses.perceptual import PerceptualFeatures, lite0_features, vgg16_features

MICA_HEAD = "flame"
"""Name of the heads in whose coefficients MICA predicts shapes."""


@dataclass(frozen=True, eq=False)
class LossContext:
    """Constants of a training step.

    Attributes:
        head: The head model.
        stage: Trainable networks and losses.
        masking: Which pixels of the photo the neural renderer receives.
        perceptual: Network of the loss `perceptual`; None where its weight is 0.
        emotion: Features of the loss `emotion`, differentiable in the image; None where its weight is 0.
        templates: Expressions for the cycle path, fields (T, ...); None in a stage without one.
        identity: Shape predictor of the loss `identity`; None where that loss compares faces of one person.
    """

    head: HeadModel
    stage: StageConfig
    masking: MaskingConfig
    perceptual: PerceptualFeatures | None = None
    emotion: Features | None = None
    templates: FaceParams | None = None
    identity: Identity | None = None

    @staticmethod
    def from_config(config: TrainConfig, head: HeadModel, device: torch.device | str) -> LossContext:
        """Load what the losses in use need.

        Args:
            config: Training run.
            head: Its head model, which is moved to the device.
            device: Device of the training steps.

        Raises:
            Smirk3dError: A file of a network or of templates cannot be used, or MICA is combined with another head.
        """
        stage, perceptual, emotion, identity = config.synthesis, None, None, None
        if stage.losses.perceptual > 0:
            is_small = config.perceptual == "lite0"
            perceptual = (lite0_features() if is_small else vgg16_features(config.perceptual)).to(device)
        if stage.losses.emotion > 0 and config.emotion is not None:  # TrainConfig demands the path
            emotion = emotion_features(config.emotion, device)
        if stage.losses.identity > 0 and config.mica is not None:
            if head.data.name != MICA_HEAD:
                which = f"not those of the head {printable(head.data.name)}"
                raise Smirk3dError(f"{printable(config.mica)}: MICA's shapes are FLAME's, {which}; set mica=null")
            identity = mica_identity(config.mica, device)
        templates = None if stage.cycle is None else templates_for(head, stage.templates).to(device)
        return LossContext(head.to(device), stage, config.masking, perceptual, emotion, templates, identity)
