"""The encoder: regression of a head's parameters from a crop of a photo."""

from __future__ import annotations

import copy
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
from smirk3d.networks.backbones import ARCHITECTURES, Backbone, is_known
from smirk3d.networks.checkpoint import ENCODER, NetworkFile, read_networks
from smirk3d.networks.encoder_branches import ExpressionEncoder, PoseEncoder, ShapeEncoder
from smirk3d.networks.face_window import MEAN_POSE_CODE, POSE_CODE_FLIP_SIGNS, FaceWindow
from smirk3d.networks.inference import folded, has_bfloat16, use_bfloat16
from smirk3d.params import FaceParams

RENAMED_KEYS = {"mirrored": "flip_tta", "second_look": "iterative_pose", "zoom": "zoom_tta"}
"""Earlier names of fields of `EncoderConfig`, which files and configurations may still hold."""


@dataclass(frozen=True)
class EncoderConfig:
    """Architecture of an encoder; the defaults are those of the released checkpoint.

    Attributes:
        pose_backbone: Backbone for pose and camera, see `create_backbone`.
        shape_backbone: Backbone for the shape.
        expression_backbone: Backbone for expression, eyelids and jaw.
        window: If given, pose and camera are regressed from the downsampled crop, and shape and expression from a
            window that these place in it. Every branch then keeps the spatial layout of its last feature map. None:
            all three read the crop, as in the released checkpoint.
        flip_tta: Predict ARKit weights from the image and from its horizontal flip, and return their mean.
        iterative_pose: Regress pose and camera a second time from the window, with the shape branch, as iterative
            error feedback does (Carreira et al., 2016); needs a window.
        zoom_tta: If given, in evaluation mode the expression is also predicted from the central part of the window,
            this fraction of its side in [0.5, 1), enlarged, and the mean is returned; needs a window. 0.9 to 0.95 is
            sensible.

    Raises:
        ValueError: A backbone is unknown; `iterative_pose` or `zoom_tta` is set without a window; or `zoom_tta` is out
            of its range.
    """

    pose_backbone: str = "tf_mobilenetv3_small_minimal_100"
    shape_backbone: str = "tf_mobilenetv3_large_minimal_100"
    expression_backbone: str = "tf_mobilenetv3_large_minimal_100"
    window: FaceWindow | None = None
    flip_tta: bool = False
    iterative_pose: bool = False
    zoom_tta: float | None = None

    def __post_init__(self) -> None:
        for field in ("pose_backbone", "shape_backbone", "expression_backbone"):
            if not is_known(name := getattr(self, field)):
                choices = ", ".join(ARCHITECTURES)
                raise ValueError(
                    f"{field} must be one of {choices}, or a model of timm where it is installed, not {name!r}"
                )
        if self.iterative_pose and self.window is None:
            raise ValueError("iterative_pose must be false without a window")
        if self.zoom_tta is not None and (self.window is None or not 0.5 <= self.zoom_tta < 1):
            raise ValueError(f"zoom_tta must be at least 0.5 and less than 1, with a window, not {self.zoom_tta}")


class Encoder(nn.Module):
    """Three independent networks: for pose and camera, for shape, and for expression.

    State-dict names are those of the released checkpoint. The three are plain submodules (`pose_encoder`,
    `shape_encoder`, `expression_encoder`), which can be frozen or trained one by one.

    Args:
        spec: Parameters of the head: shape, expression, pose and camera, and eyelids and jaw where the head has them.
        config: Architecture.
        size_px: Side in pixels of the crops that the encoder is trained for.

    Raises:
        KeyError: `spec` lacks a parameter that every head has.
        Smirk3dError: A backbone is unknown.
        ValueError: `config.flip_tta` for a head whose expression is not the 52 ARKit weights.

    Source: Retsinas et al., "3D Facial Expressions through Analysis-by-Neural-Synthesis" (CVPR 2024),
    for the three branches; windows, test-time augmentation and the second regression are this package's.
    """

    is_folded = False

    def __init__(self, spec: ParamSpec, config: EncoderConfig = EncoderConfig(), size_px: int = 224) -> None:
        super().__init__()
        self.spec = spec
        self.size_px = size_px
        self.config = config
        if config.flip_tta and not predicts_arkit(spec):
            raise ValueError("flip_tta is only possible for ARKit weights, whose mirror partners are known")
        # The branches flatten the last feature map, so that their size depends on that of the window.
        side_px = None if config.window is None else config.window.size_px
        self.pose_encoder = PoseEncoder(config.pose_backbone, side_px)
        self.shape_encoder = ShapeEncoder(
            config.shape_backbone, spec["shape"].size, side_px, len(MEAN_POSE_CODE) * config.iterative_pose
        )
        self.expression_encoder = ExpressionEncoder(config.expression_backbone, spec, side_px)

    def forward(self, crops: Tensor) -> FaceParams:
        """Predict the parameters of the heads in square crops.

        Args:
            crops: (B, 3, S, S) float, RGB in [0, 1], not normalised; S = 224 in the released weights.

        Returns:
            Parameters of batch shape (B,): shape, expression, pose (rotation vector, radians) and camera (scale, tx,
            ty), and the eyelids and jaw of heads that have them; all in the ranges of `spec`.
        """
        pose, camera, shape, windows = self._regress(crops, needs_shape=True)
        return FaceParams(shape=shape, pose=pose, camera=camera, **self.regress_expression(windows))

    def expression(self, crops: Tensor) -> dict[str, Tensor]:
        """Predict expression, eyelids and jaw only.

        Args:
            crops: (B, 3, S, S) float, see `forward`.

        Returns:
            (B, size) float by parameter name.
        """
        if self.config.window is None:
            return self.regress_expression(crops)
        return self.regress_expression(self._regress(crops, needs_shape=False)[-1])

    def coarse_pose(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Regress pose and camera from whole crops, before any refinement from the window; they place the windows.

        Args:
            crops: (B, 3, S, S) float, see `forward`.

        Returns:
            Pose (B, 3), rotation vector in radians, and camera (B, 3), scale, tx and ty.
        """
        pose, camera = self.pose_encoder(self._downsampled(crops)).split(3, dim=1)
        return pose, camera

    def regress_expression(self, windows: Tensor) -> dict[str, Tensor]:
        """Predict expression, eyelids and jaw from windows that have been extracted already.

        Args:
            windows: (B, 3, P, P) float, RGB in [0, 1]; the crops themselves for encoders without a window.

        Returns:
            (B, size) float by parameter name, the mean over the configured test-time augmentation.
        """
        # In training one view a face is enough, and half the work.
        if self.config.zoom_tta is None or self.training:
            return self._flip_average(windows)
        assert self.config.window is not None
        enlarged = _enlarged_center(windows, self.config.zoom_tta, self.config.window.size_px)
        both = self._flip_average(torch.cat([windows, enlarged]))
        return {name: torch.stack(values.chunk(2)).mean(0) for name, values in both.items()}

    def _flip_average(self, windows: Tensor) -> dict[str, Tensor]:
        """Predict from windows and, with `flip_tta`, from their flips, left and right swapped back; return the mean."""
        if not self.config.flip_tta:
            return self.expression_encoder(windows)
        direct, flipped = self.expression_encoder(torch.cat([windows, windows.flip(3)]))["expression"].chunk(2)
        return {"expression": (direct + flipped[:, list(ARKIT_MIRROR)]) / 2}

    def _regress(self, crops: Tensor, *, needs_shape: bool) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
        """Return pose, camera, shape (None where it is not needed), and the windows for the expression."""
        pose, camera = self.coarse_pose(crops)
        windows, affine = self._windows(crops, pose, camera)
        if not (needs_shape or self.config.iterative_pose):
            return pose, camera, None, windows
        # The shape branch also predicts pose and camera relative to the window, where the face is larger and centred.
        shape, pose_code = self._shape_and_pose_code(windows)
        if pose_code is not None and self.config.window is not None:
            pose, camera = self.config.window.decode_pose(pose_code, affine)
            windows, _ = self._windows(crops, pose, camera)
        return pose, camera, shape, windows

    def _shape_and_pose_code(self, windows: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return shapes (B, S) and, with `iterative_pose`, pose codes (B, 13), see `FaceWindow.encode_pose`."""
        if not self.config.iterative_pose:
            return self.shape_encoder(windows), None
        views = torch.cat([windows, windows.flip(3)]) if self.config.flip_tta else windows
        shape, pose_code = self.shape_encoder(views).split([self.spec["shape"].size, len(MEAN_POSE_CODE)], dim=1)
        if self.config.flip_tta:
            # The shape is taken from the unflipped window only: `spec` does not have their mirror partners.
            pose_code, flipped = pose_code.chunk(2)
            pose_code = (pose_code + flipped * pose_code.new_tensor(POSE_CODE_FLIP_SIGNS)) / 2
        return shape[: len(windows)], pose_code

    def _downsampled(self, crops: Tensor) -> Tensor:
        """Return the crops at the resolution that the pose is regressed from."""
        if self.config.window is None:
            return crops
        side_px = self.config.window.size_px
        return functional.interpolate(crops, (side_px, side_px), mode="bilinear", align_corners=False)

    def _windows(self, crops: Tensor, pose: Tensor, camera: Tensor) -> tuple[Tensor, Tensor]:
        """Return the input of the shape and expression branches, and the affine (B, 2, 3) that placed it.

        Without a window both are the crops.
        """
        window = self.config.window
        if window is None:
            return crops, crops
        # Detached: losses on shape and expression must not move the window.
        affine = window.affine_from_pose(pose.detach(), camera.detach())
        return window.extract(crops, affine), affine

    @classmethod
    def from_checkpoint(cls, path: str | os.PathLike[str]) -> Encoder:
        """Load the encoder of a released checkpoint, or of a file written by `save_networks`.

        Args:
            path: The file; its format is found from the content.

        Returns:
            The encoder on the CPU, in eval mode.

        Raises:
            Smirk3dError: The file cannot be read, or does not hold exactly this network.
        """
        file = read_networks(path)
        encoder = _build(file)
        file.load_into(encoder, ENCODER)
        return encoder.eval()

    def for_inference(self, *, rounded: bool = False, expression_only: bool = False) -> Encoder:
        """Return a faster copy in eval mode that can be neither trained nor saved.

        Args:
            expression_only: Copy the expression branch alone; the copy has `regress_expression` and nothing else.
            rounded: Where the processor has instructions for bfloat16, compute the expression with them, but for the
                stem and the first stage, which matter most. The numbers are the same but for the rounding, which
                changes ARKit weights by 0.0005 on average.
        """
        source = copy.copy(self)
        if expression_only:
            source._modules = {"expression_encoder": self.expression_encoder}
        encoder = folded(source, Backbone)
        encoder.is_folded = True
        trunk = encoder.expression_encoder.encoder
        if rounded and has_bfloat16() and isinstance(trunk, Backbone):
            use_bfloat16(trunk.blocks[1:])
        return encoder


def _enlarged_center(windows: Tensor, fraction: float, size_px: int) -> Tensor:
    """Return the centre of windows (B, 3, P, P), P = `size_px`, enlarged to P by P.

    The centre is `fraction` of the side, rounded to whole pixels.
    """
    margin = round(size_px * (1 - fraction) / 2)
    center = windows[:, :, margin : size_px - margin, margin : size_px - margin]
    return functional.interpolate(center, size=(size_px, size_px), mode="bilinear", align_corners=False)


def predicts_arkit(spec: ParamSpec) -> bool:
    """Return whether the expression is the 52 ARKit weights: 52 values, each in [0, 1].

    Args:
        spec: Parameters of a head.
    """
    expression = spec["expression"]
    return (expression.size, expression.low, expression.high) == (len(ARKIT_MIRROR), 0.0, 1.0)


def _build(file: NetworkFile) -> Encoder:
    """Build the encoder of a file, with random weights, from its layout or, in released files, from tensor shapes."""
    if file.layout is None:
        return Encoder(_released_spec(file.state_dict(ENCODER)))
    try:
        return Encoder(file.layout.spec, _config(file.layout.config), file.layout.size_px)
    except (AttributeError, KeyError, TypeError) as error:
        raise Smirk3dError(f"{printable(file.path)}: its header describes no known encoder; update smirk3d") from error
    except ValueError as error:
        raise Smirk3dError(f"{printable(file.path)}: its header describes no encoder: {error}; replace it") from error


def _config(stored: Mapping[str, Any]) -> EncoderConfig:
    """Build a configuration from the plain values in a header, under their present or earlier names."""
    values = {RENAMED_KEYS.get(name, name): value for name, value in stored.items()}
    window: dict[str, Any] | None = values.get("window")
    if window is None:
        return EncoderConfig(**values)
    lists = {name: tuple(value) for name, value in window.items() if isinstance(value, list)}
    return EncoderConfig(**{**values, "window": FaceWindow(**{**window, **lists})})


def _released_spec(state: dict[str, Tensor]) -> ParamSpec:
    """Read the sizes of FLAME's parameters from the linear layers; where that fails, loading reports the misfit."""
    n_shape = _n_rows(state.get("shape_encoder.shape_layers.0.weight"), 300)
    n_outputs = _n_rows(state.get("expression_encoder.expression_layers.0.weight"), 55)
    return ParamSpec(
        (
            Param("shape", n_shape),
            Param("expression", max(n_outputs - 5, 1)),  # 5: eyelids and jaw
            Param("eyelids", 2, 0.0, 1.0),
            Param("jaw", 3),
            Param("pose", 3),
            Param("camera", 3),
        )
    )


def _n_rows(matrix: Tensor | None, default: int) -> int:
    return len(matrix) if matrix is not None and matrix.ndim == 2 else default
