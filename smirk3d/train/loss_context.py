"""What takes part in a training step: the networks that learn, and all that does not."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

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

ENCODERS = ("pose", "shape", "expression")
"""The parts of an `Encoder` as `StageConfig.trainable` names them."""
MICA_HEAD = "flame"
"""Name of the heads whose shapes MICA knows."""


@dataclass(frozen=True, eq=False)
class Networks:
    """The networks; each may be wrapped, as by Fabric, if the wrapper passes attributes on.

    Attributes:
        encoder: An `Encoder`.
        neural_renderer: A `NeuralRenderer`; None in the stage pretrain.
    """

    encoder: nn.Module
    neural_renderer: nn.Module | None = None

    def parts(self) -> dict[str, nn.Module]:
        """Return the networks by the names that `StageConfig.trainable` has for them."""
        parts: dict[str, nn.Module] = {name: getattr(self.encoder, f"{name}_encoder") for name in ENCODERS}
        return parts if self.neural_renderer is None else parts | {"neural_renderer": self.neural_renderer}


@dataclass(frozen=True, eq=False)
class LossContext:
    """What does not learn.

    Attributes:
        head: The head model.
        stage: Which networks learn, and from what. masking: What the neural renderer may see.
        perceptual: Of the loss of that name; None where its weight is 0.
        emotion: The same of the loss `emotion`; differentiable in the image, its weights are constants.
        identity: Shapes that the loss of that name asks for; None where it compares faces of one person.
        templates: Expressions for the cycle path, fields (T, ...); None in a stage without one.
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
        """Load what a run needs, and nothing whose loss is off.

        Args:
            config: The run. head: Its head model, which is moved to the device. device: Of the steps.

        Raises:
            Smirk3dError: A file of a network or of templates cannot be used.
        """
        stage, perceptual, emotion, identity = config.stage, None, None, None
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
