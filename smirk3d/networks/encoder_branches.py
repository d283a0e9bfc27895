"""The three branches of the encoder: a backbone and one linear layer each."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from smirk3d.head.spec import ParamSpec
from smirk3d.networks.backbones import Backbone, create_backbone
from smirk3d.networks.bounded import bounded
from smirk3d.networks.face_window import MEAN_POSE_CODE

INITIAL_SCALE = 7.0  # camera scale at which a head of average size fills a crop
INITIAL_FRACTION = 0.05  # initial value of bounded expressions within their range: nearly neutral, yet inside
GRID_CHANNELS = 48  # channels of the last map, 7 by 7 for a window of 112 pixels, that keep spatial positions
# Radians: the jaw only opens, and hardly turns or slides.
JAW_LOW, JAW_HIGH = (0.0, -0.2, -0.2), (float("inf"), 0.2, 0.2)


class Branch(nn.Module):
    """A backbone and one linear layer, named as in the released checkpoint.

    Without `side_px` the last feature map is averaged over space. With it, the map is reduced to `GRID_CHANNELS`
    channels and flattened instead, because an average loses which side of the face a feature is on.

    Args:
        backbone: Name, see `create_backbone`.
        layer: Name of the linear layer in the state dict.
        n_out: Outputs of the linear layer.
        side_px: Side of the input images, which must be constant then; None for any size.
    """

    def __init__(self, backbone: str, layer: str, n_out: int, side_px: int | None) -> None:
        super().__init__()
        self.encoder = create_backbone(backbone)
        channels = self.encoder.out_channels
        self.narrow: nn.Module | None = None
        n_features = channels
        if side_px is not None:
            self.narrow = nn.Sequential(
                nn.Conv2d(channels, GRID_CHANNELS, 1, bias=False), nn.BatchNorm2d(GRID_CHANNELS)
            )
            n_features = GRID_CHANNELS * _map_area(self.encoder, side_px)
        self.add_module(layer, nn.Sequential(nn.Linear(n_features, n_out)))
        self._layer = layer

    @property
    def linear(self) -> nn.Linear:
        """The linear layer."""
        return getattr(self, self._layer)[0]

    def features(self, crops: Tensor) -> Tensor:
        """Return the input of the linear layer.

        Args:
            crops: (B, 3, H, W) float, RGB in [0, 1].

        Returns:
            (B, F) float.
        """
        last = self.encoder(crops).float()
        return last.mean(dim=(2, 3)) if self.narrow is None else self.narrow(last).flatten(1)

    def _outputs(self, crops: Tensor) -> Tensor:
        return self.linear(self.features(crops))


class PoseEncoder(Branch):
    """Regresses pose and camera; starts near a frontal head in the centre of the crop."""

    def __init__(self, backbone: str, side_px: int | None = None) -> None:
        super().__init__(backbone, "pose_cam_layers", 6, side_px)
        # Small, not zero: the gradient must reach the backbone from the first step on.
        with torch.no_grad():
            self.linear.weight.mul_(0.001)
            self.linear.bias.mul_(0.001)
            self.linear.weight[3] = 0.0
            self.linear.bias[3] = INITIAL_SCALE

    def forward(self, crops: Tensor) -> Tensor:
        """Regress pose and camera.

        Args:
            crops: (B, 3, H, W) float, RGB in [0, 1].

        Returns:
            (B, 6) float: rotation vector in radians, then scale, tx and ty.
        """
        return self._outputs(crops)


class ShapeEncoder(Branch):
    """Regresses the shape and, with `n_pose_code`, the pose code; starts with the mean head, frontal.

    Args:
        backbone: Name, see `create_backbone`.
        n_shape: Shape coefficients, S.
        side_px: Side of the input images; None for any size.
        n_pose_code: Length of the pose code, see `FaceWindow.encode_pose`; 0 for none.
    """

    def __init__(self, backbone: str, n_shape: int, side_px: int | None = None, n_pose_code: int = 0) -> None:
        super().__init__(backbone, "shape_layers", n_shape + n_pose_code, side_px)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        if n_pose_code:
            with torch.no_grad():
                self.linear.bias[n_shape:] = torch.tensor(MEAN_POSE_CODE)

    def forward(self, crops: Tensor) -> Tensor:
        """Regress the shape.

        Args:
            crops: (B, 3, H, W) float, RGB in [0, 1].

        Returns:
            (B, S) float, or (B, S + 13) with the pose code at the end.
        """
        return self._outputs(crops)


class ExpressionEncoder(Branch):
    """Regresses the expression and, where the head has them, eyelids and jaw, clamped by `bounded`.

    Args:
        backbone: Name, see `create_backbone`.
        spec: Parameters of the head.
        side_px: Side of the input images; None for any size.
    """

    low: Tensor
    high: Tensor

    def __init__(self, backbone: str, spec: ParamSpec, side_px: int | None = None) -> None:
        expression = spec["expression"]
        params = [expression, *(spec[name] for name in ("eyelids", "jaw") if name in spec.names)]
        super().__init__(backbone, "expression_layers", sum(param.size for param in params), side_px)
        self._sizes = {param.name: param.size for param in params}
        lows = [JAW_LOW if p.name == "jaw" else (p.low,) * p.size for p in params]
        highs = [JAW_HIGH if p.name == "jaw" else (p.high,) * p.size for p in params]
        self.register_buffer("low", torch.tensor(sum(lows, ())), persistent=False)
        self.register_buffer("high", torch.tensor(sum(highs, ())), persistent=False)
        with torch.no_grad():
            self.linear.weight.mul_(0.1)
            self.linear.bias.mul_(0.1)
            if math.isfinite(expression.low + expression.high):
                initial = expression.low + INITIAL_FRACTION * (expression.high - expression.low)
                self.linear.bias[: expression.size] = initial

    def forward(self, crops: Tensor) -> dict[str, Tensor]:
        """Regress the expression.

        Args:
            crops: (B, 3, H, W) float, RGB in [0, 1].

        Returns:
            (B, size) float by parameter name.
        """
        values = bounded(self._outputs(crops), self.low, self.high).split(list(self._sizes.values()), dim=1)
        return dict(zip(self._sizes, values))


def _map_area(backbone: Backbone, side_px: int) -> int:
    """Return height times width of a backbone's last feature map for square images."""
    was_training = backbone.training
    # Evaluation mode, so that the zeros do not enter the statistics of the batch norms.
    with torch.no_grad():
        last = backbone.train(False)(torch.zeros(1, 3, side_px, side_px))
    backbone.train(was_training)
    return last.shape[2] * last.shape[3]
