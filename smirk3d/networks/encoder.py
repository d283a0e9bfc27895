"""The encoder: from a crop of a photo to the parameters of a head."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from smirk3d.assets import printable
from smirk3d.errors import Smirk3dError
from smirk3d.head.arkit import ARKIT_MIRROR
from smirk3d.head.spec import Param, ParamSpec
from smirk3d.networks.backbones import Backbone, create_backbone
from smirk3d.networks.bounded import bounded
from smirk3d.networks.checkpoint import ENCODER, NetworkFile, read_networks
from smirk3d.networks.face_window import MEAN_POSE_CODE, POSE_CODE_FLIP_SIGNS, FaceWindow
from smirk3d.networks.inference import folded
from smirk3d.params import FaceParams

INITIAL_SCALE = 7.0  # camera scale at which a head of average size fills a crop
INITIAL_FRACTION = 0.05  # first guess for expressions that have a range: near its low end, neutral, yet inside
GRID_CHANNELS = 48  # enough for the positions of what moves in a face, at a map of 7 by 7
# Radians: the jaw only opens, and hardly turns or slides.
JAW_LOW, JAW_HIGH = (0.0, -0.2, -0.2), (float("inf"), 0.2, 0.2)


@dataclass(frozen=True)
class EncoderConfig:
    """Names of the backbones (see `create_backbone`); those of the released checkpoint unless told otherwise."""

    pose_backbone: str = "tf_mobilenetv3_small_minimal_100"
    shape_backbone: str = "tf_mobilenetv3_large_minimal_100"
    expression_backbone: str = "tf_mobilenetv3_large_minimal_100"
    window: FaceWindow | None = None
    """Where the whole crop is searched for pose and camera only, and expression and shape are read from a window
    that these place in it; every branch then keeps where in its picture a feature is. None: as released."""
    mirrored: bool = False
    """Read ARKit weights from the picture and from its mirror image, and give the mean of both answers."""
    second_look: bool = False
    """Read pose and camera a second time, from the window, by the network that tells the shape; needs a window."""

    zoom: float | None = None
    """Except in training, read the expression from this part of the window's side as well, about its middle and
    enlarged, and give the mean of both answers; needs a window."""

    def __post_init__(self) -> None:
        if self.second_look and self.window is None:
            raise ValueError("second_look must be false without a window")
        if self.zoom is not None and (self.window is None or not 0.5 <= self.zoom < 1):
            raise ValueError(f"zoom must be at least 0.5 and less than 1, with a window, not {self.zoom}")


class Encoder(nn.Module):
    """Three independent networks for pose and camera, for shape, and for expression.

    State-dict names are those of the released checkpoint. The three are plain sub-modules (`pose_encoder`,
    `shape_encoder`, `expression_encoder`), to be frozen or trained one by one.

    Args:
        spec: Parameters of the head: shape, expression, pose and camera, and where it has them eyelids and jaw.
        config: Which backbones. size_px: Side of the crops that it is trained for.

    Raises:
        KeyError: A parameter that every head has is missing in `spec`.
        Smirk3dError: A backbone is unknown.
        ValueError: `config.mirrored` for a head whose expressions are not ARKit's.
    """

    is_folded = False

    def __init__(self, spec: ParamSpec, config: EncoderConfig = EncoderConfig(), size_px: int = 224) -> None:
        super().__init__()
        self.spec = spec
        self.size_px = size_px
        self.config = config
        if config.mirrored and not predicts_arkit(spec):
            raise ValueError("only ARKit weights can be read from mirror images")
        side_px = None if config.window is None else config.window.size_px
        self.pose_encoder = PoseEncoder(config.pose_backbone, side_px)
        self.shape_encoder = ShapeEncoder(
            config.shape_backbone, spec["shape"].size, side_px, len(MEAN_POSE_CODE) * config.second_look
        )
        self.expression_encoder = ExpressionEncoder(config.expression_backbone, spec, side_px)

    def forward(self, crops: Tensor) -> FaceParams:
        """Estimate the parameters of the heads in square crops.

        Args:
            crops: (B, 3, H, W) RGB in [0, 1], without mean or deviation taken off; 224 pixels in the released weights.

        Returns:
            Parameters of batch shape (B,): shape, expression, pose (rotation vector) and camera, and the eyelids
            and jaw of heads that have them; all in the ranges of `spec`.
        """
        pose, camera, shape, views = self._look(crops, needs_shape=True)
        return FaceParams(shape=shape, pose=pose, camera=camera, **self.expression_of(views))

    def expression(self, crops: Tensor) -> dict[str, Tensor]:
        """Estimate expression, eyelids and jaw alone, by name, for crops as `forward` takes them."""
        if self.config.window is None:
            return self.expression_of(crops)
        return self.expression_of(self._look(crops, needs_shape=False)[-1])

    def first_look(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Return pose (B, 3) and camera (B, 3) as the whole crops show them; they tell where the windows are."""
        pose, camera = self.pose_encoder(self._overview(crops)).split(3, dim=1)
        return pose, camera

    def expression_of(self, views: Tensor) -> dict[str, Tensor]:
        """Estimate the same of what the expression is read from: windows (B, 3, P, P), or the crops without any."""
        if self.config.zoom is None or self.training:
            return self._flip_average(views)
        assert self.config.window is not None
        enlarged = _enlarged(views, self.config.zoom, self.config.window.size_px)
        said = self._flip_average(torch.cat([views, enlarged]))
        return {name: torch.stack(values.chunk(2)).mean(0) for name, values in said.items()}

    def _flip_average(self, views: Tensor) -> dict[str, Tensor]:
        """Return what is said of views, and of their mirror images where these are read as well."""
        if not self.config.mirrored:
            return self.expression_encoder(views)
        said, mirrored = self.expression_encoder(torch.cat([views, views.flip(3)]))["expression"].chunk(2)
        return {"expression": (said + mirrored[:, list(ARKIT_MIRROR)]) / 2}

    def _look(self, crops: Tensor, *, needs_shape: bool) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
        """Return pose, camera, shape (None where it is not needed), and where expressions are read."""
        pose, camera = self.first_look(crops)
        views, place = self._views(crops, pose, camera)
        if not (needs_shape or self.config.second_look):
            return pose, camera, None, views
        shape, look = self._shape_and_look(views)
        if look is not None and self.config.window is not None:
            pose, camera = self.config.window.told(look, place)
            views, _ = self._views(crops, pose, camera)
        return pose, camera, shape, views

    def _shape_and_look(self, views: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return shapes (B, S) and, where there is a second look, what it says, see `FaceWindow.look`."""
        if not self.config.second_look:
            return self.shape_encoder(views), None
        both = torch.cat([views, views.flip(3)]) if self.config.mirrored else views
        shape, look = self.shape_encoder(both).split([self.spec["shape"].size, len(MEAN_POSE_CODE)], dim=1)
        if self.config.mirrored:
            look, mirrored = look.chunk(2)
            look = (look + mirrored * look.new_tensor(POSE_CODE_FLIP_SIGNS)) / 2
        return shape[: len(views)], look

    def _overview(self, crops: Tensor) -> Tensor:
        """Return the crops at the resolution that the pose is read from."""
        if self.config.window is None:
            return crops
        side_px = self.config.window.size_px
        return functional.interpolate(crops, (side_px, side_px), mode="bilinear", align_corners=False)

    def _views(self, crops: Tensor, pose: Tensor, camera: Tensor) -> tuple[Tensor, Tensor]:
        """Return what expression and shape are read from, and where it is; no gradient tells the pose where to look."""
        window = self.config.window
        if window is None:
            return crops, crops
        place = window.place(pose.detach(), camera.detach())
        return window.cut(crops, place), place

    @classmethod
    def from_checkpoint(cls, path: str | os.PathLike[str]) -> Encoder:
        """Load the encoder of a released checkpoint, or of a file written by `save_networks`.

        Args:
            path: The file; which kind it is, its content says.

        Returns:
            The encoder on the CPU, in eval mode; `spec` tells the sizes.

        Raises:
            Smirk3dError: The file cannot be read, or does not hold exactly this network.
        """
        file = read_networks(path)
        encoder = _build(file)
        file.load_into(encoder, ENCODER)
        return encoder.eval()

    def for_inference(self) -> Encoder:
        """Return a faster copy in eval mode that computes the same numbers and can be neither trained nor saved."""
        encoder = folded(self, Backbone)
        encoder.is_folded = True
        return encoder


def _enlarged(views: Tensor, part: float, size_px: int) -> Tensor:
    """Return the middle of views (B, 3, P, P), a part of the side P = `size_px` to whole pixels, at their size."""
    margin = round(size_px * (1 - part) / 2)
    middle = views[:, :, margin : size_px - margin, margin : size_px - margin]
    return functional.interpolate(middle, size=(size_px, size_px), mode="bilinear", align_corners=False)


def predicts_arkit(spec: ParamSpec) -> bool:
    """Tell whether the expression that an encoder emits is the 52 ARKit weights: so many, all in [0, 1]."""
    expression = spec["expression"]
    return (expression.size, expression.low, expression.high) == (len(ARKIT_MIRROR), 0.0, 1.0)


class _Branch(nn.Module):
    """A backbone and one linear layer under the name that the checkpoint has for it.

    The last map is averaged over the picture; where the side of the pictures is given, it is narrowed to
    `GRID_CHANNELS` channels instead and all of it goes on: an average hardly tells left from right.
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
            n_features = GRID_CHANNELS * _cells(self.encoder, side_px)
        self.add_module(layer, nn.Sequential(nn.Linear(n_features, n_out)))
        self._layer = layer

    @property
    def linear(self) -> nn.Linear:
        """The linear layer."""
        return getattr(self, self._layer)[0]

    def features(self, crops: Tensor) -> Tensor:
        """Return what the linear layer reads, (B, F), of pictures (B, 3, H, W)."""
        last = self.encoder(crops)
        return last.mean(dim=(2, 3)) if self.narrow is None else self.narrow(last).flatten(1)

    def _emit(self, crops: Tensor) -> Tensor:
        return self.linear(self.features(crops))


class PoseEncoder(_Branch):
    """Emits pose and camera; starts with a head that looks straight ahead in the middle of the crop."""

    def __init__(self, backbone: str, side_px: int | None = None) -> None:
        super().__init__(backbone, "pose_cam_layers", 6, side_px)
        with torch.no_grad():
            self.linear.weight.mul_(0.001)
            self.linear.bias.mul_(0.001)
            self.linear.weight[3] = 0.0
            self.linear.bias[3] = INITIAL_SCALE

    def forward(self, crops: Tensor) -> Tensor:
        """Return (B, 6) from crops (B, 3, H, W): rotation vector in radians, camera (scale, tx, ty)."""
        return self._emit(crops)


class ShapeEncoder(_Branch):
    """Emits shape coefficients, and what else windows show; starts with the mean head, upright in the middle."""

    def __init__(self, backbone: str, n_shape: int, side_px: int | None = None, n_look: int = 0) -> None:
        super().__init__(backbone, "shape_layers", n_shape + n_look, side_px)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        if n_look:
            with torch.no_grad():
                self.linear.bias[n_shape:] = torch.tensor(MEAN_POSE_CODE)

    def forward(self, crops: Tensor) -> Tensor:
        """Return shape coefficients and, where asked for, the look of `FaceWindow.look`, (B, S + 13), of (B, 3, H, W)."""
        return self._emit(crops)


class ExpressionEncoder(_Branch):
    """Emits the expression and, on heads that have them, eyelids and jaw, kept in range by `bounded`."""

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
                first_guess = expression.low + INITIAL_FRACTION * (expression.high - expression.low)
                self.linear.bias[: expression.size] = first_guess

    def forward(self, crops: Tensor) -> dict[str, Tensor]:
        """Return the parameters by name, (B, size) each, from crops (B, 3, H, W)."""
        values = bounded(self._emit(crops), self.low, self.high).split(list(self._sizes.values()), dim=1)
        return dict(zip(self._sizes, values))


def _cells(backbone: Backbone, side_px: int) -> int:
    """Return the number of places in a backbone's last map of square pictures."""
    was_training = backbone.training
    with torch.no_grad():
        last = backbone.train(False)(torch.zeros(1, 3, side_px, side_px))
    backbone.train(was_training)
    return last.shape[2] * last.shape[3]


def _build(file: NetworkFile) -> Encoder:
    """Make the encoder, with random weights, whose layout the file names or shows."""
    if file.layout is None:
        return Encoder(_released_spec(file.part(ENCODER)))
    try:
        return Encoder(file.layout.spec, _config(file.layout.backbones), file.layout.size_px)
    except (KeyError, TypeError) as error:
        raise Smirk3dError(f"{printable(file.path)}: its header describes no known encoder; update smirk3d") from error


def _config(stored: Mapping[str, Any]) -> EncoderConfig:
    """Read a configuration as `save_networks` writes it."""
    window: dict[str, Any] | None = stored.get("window")
    if window is None:
        return EncoderConfig(**stored)
    lists = {name: tuple(value) for name, value in window.items() if isinstance(value, list)}
    return EncoderConfig(**{**stored, "window": FaceWindow(**{**window, **lists})})


def _released_spec(state: dict[str, Tensor]) -> ParamSpec:
    """Read the sizes of FLAME's layout off the layers; where that fails, loading will say what does not fit."""
    n_shape = _rows(state.get("shape_encoder.shape_layers.0.weight"), 300)
    n_emitted = _rows(state.get("expression_encoder.expression_layers.0.weight"), 55)
    return ParamSpec(
        (
            Param("shape", n_shape),
            Param("expression", max(n_emitted - 5, 1)),  # 5: eyelids and jaw
            Param("eyelids", 2, 0.0, 1.0),
            Param("jaw", 3),
            Param("pose", 3),
            Param("camera", 3),
        )
    )


def _rows(matrix: Tensor | None, otherwise: int) -> int:
    return len(matrix) if matrix is not None and matrix.ndim == 2 else otherwise
