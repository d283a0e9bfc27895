"""The network of the transformer engine: sources become a set of latents once, then any face is asked for.

As in FSRT (Rochow et al., "FSRT: Facial Scene Representation Transformer for Face Reenactment", CVPR 2024) patches of
the sources, with keypoints, head pose and expression of each, form a set on which a transformer works; a decoder reads
this set for each query of a picture with other keypoints, pose and expression. Two things differ. A query answers a
few pixels together, which costs less. And it answers, besides a colour, where each source shows its pixels: roughly by
interpolation between keypoints, which the query corrects; weights mix the sources' pixels there with the colour.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample, interpolate, pixel_shuffle

from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.reenactment.transformer.attention import AttentionLayer
from smirk3d.reenactment.transformer.keypoints import CODED, DENSE, grid_positions, influences
from smirk3d.reenactment.transformer.position_code import position_code

STRIDE = 8
"""Side of the pictures over that of the grid of latents."""
FINE_STRIDE = 4
"""Side of the pictures over that of the features by which motion is corrected."""
FINE_WIDTH = 64
POSITION_OCTAVES, SURFACE_OCTAVES = 7, 6
SURFACE_UNIT_M = 0.1
LARGEST_CORRECTION = 0.25
"""Largest correction of a motion, half sides of the picture."""
FIRST_PREFERRED = 2.0
"""Logarithm by which an untrained network prefers the first source to others, and these to the colour."""
_POSITION_NUMBERS = 2 * (1 + 2 * POSITION_OCTAVES) + 3 * (1 + 2 * SURFACE_OCTAVES) + 1


@dataclass(frozen=True)
class NetworkLayout:
    """Sizes of the network.

    Attributes:
        size_px: S, side of the pictures; a multiple of 8.
        width: Numbers of a latent.
        heads: Heads of the attention.
        hidden: Width inside of the layers' perceptrons.
        encoder_layers: Layers of the set.
        decoder_layers: Layers of the queries.
        code_size: L, length of an expression code, which stands beside the weights.
    """

    size_px: int = 96
    width: int = 160
    heads: int = 5
    hidden: int = 320
    encoder_layers: int = 3
    decoder_layers: int = 2
    code_size: int = 16

    def __post_init__(self) -> None:
        if min(vars(self).values()) < 1 or self.size_px % STRIDE or self.width % self.heads:
            raise ValueError("size_px must be a multiple of 8, width one of heads, and all positive")


@dataclass(frozen=True, eq=False)
class FaceState:
    """How faces are to be: B of them, or B V.

    Attributes:
        points: (..., 478, 2) projected landmarks, [-1, 1] from edge to edge of the picture.
        weights: (..., 52) ARKit weights.
        pose: (..., 3) rotation vectors, head frame to camera frame.
        expression_code: (..., L) latent codes of the expression; 0 where they are unknown.
    """

    points: Tensor
    weights: Tensor
    pose: Tensor
    expression_code: Tensor

    @property
    def dense(self) -> Tensor:
        """The keypoints from which the motion is interpolated, (..., K, 2)."""
        return self.points[..., list(DENSE), :]

    @property
    def code(self) -> Tensor:
        """All numbers that describe a face, (..., D)."""
        points = self.points[..., list(CODED), :].flatten(-2)
        return torch.cat([points, self.weights, self.pose, self.expression_code], dim=-1)


@dataclass(frozen=True, eq=False)
class Scene:
    """The encoded photos of B people.

    Attributes:
        images: (B, V, 3, S, S) the sources.
        dense: (B, V, K, 2) their keypoints.
        fine: (B, V, F, S / 4, S / 4) features of them.
        keys_values: For each layer of the decoder the set of latents.
    """

    images: Tensor
    dense: Tensor
    fine: Tensor
    keys_values: tuple[tuple[Tensor, Tensor], ...]


@dataclass(frozen=True, eq=False)
class DecodedLayers:
    """The layers of which pictures are composed.

    Attributes:
        color: (B, 3, S, S) colours, about [0, 1].
        correction: (B, V, 2, S, S) of the motion of the keypoints, half sides.
        shares: (B, V + 1, S, S) how much each source counts, and last the colour; their sum is 1.
    """

    color: Tensor
    correction: Tensor
    shares: Tensor


class SceneTransformer(nn.Module):
    """See the module.

    Args:
        layout: Sizes.
        surface_m: (478, 3) places of MediaPipe's landmarks on the neutral head, metres.
    """

    layout_numbers: Tensor
    surface: Tensor

    def __init__(self, layout: NetworkLayout, surface_m: Tensor) -> None:
        super().__init__()
        self.layout = layout
        self.register_buffer("layout_numbers", torch.tensor(list(vars(layout).values())))
        self.register_buffer("surface", surface_m[list(DENSE)] / SURFACE_UNIT_M)
        width = layout.width
        numbers = 2 * len(CODED) + len(ARKIT_NAMES) + 3 + layout.code_size
        self.stem = nn.Sequential(_convolution(3, 32), _convolution(32, FINE_WIDTH))
        self.patch = nn.Conv2d(FINE_WIDTH, width, 3, 2, 1)
        self.source_code = _perceptron(numbers, width, width)
        self.driving_code = _perceptron(numbers, width, width)
        self.source_place = nn.Linear(_POSITION_NUMBERS, width)
        self.query_place = _perceptron(_POSITION_NUMBERS, width, width)
        self.first_source = nn.Parameter(torch.zeros(width))
        layers = (width, layout.heads, layout.hidden)
        self.encoder = nn.ModuleList(AttentionLayer(*layers) for _ in range(layout.encoder_layers))
        self.decoder = nn.ModuleList(AttentionLayer(*layers) for _ in range(layout.decoder_layers))
        self.color = _perceptron(width, 2 * width, 4 * FINE_STRIDE**2, norm=True)
        self.copy = _perceptron(width + FINE_WIDTH + 3, width, 3 * FINE_STRIDE**2)
        self._start_from_keypoints()

    def _start_from_keypoints(self) -> None:
        """Let an untrained network show the first source as the keypoints move it."""
        for head in (self.color, self.copy):
            last = head[-1]
            assert isinstance(last, nn.Linear)
            nn.init.normal_(last.weight, std=0.002)
            nn.init.zeros_(last.bias)

    def encode(self, images: Tensor, faces: FaceState) -> Scene:
        """Return the representation of B people.

        Args:
            images: (B, V, 3, S, S) in [0, 1], V sources each; the surroundings are those of the first one.
            faces: How the faces in them are, (B, V, ...).
        """
        count, views = images.shape[:2]
        fine = self.stem(images.flatten(0, 1) - 0.5)
        tokens = self.patch(fine).flatten(2).transpose(1, 2)
        places = self._places(self.layout.size_px // STRIDE, faces.dense.flatten(0, 1))
        tokens = tokens + self.source_place(places) + self.source_code(faces.code.flatten(0, 1))[:, None]
        tokens = tokens.unflatten(0, (count, views))
        first = torch.zeros(views, 1, 1, device=images.device)
        first[0] = 1
        tokens = (tokens + first * self.first_source).flatten(1, 2)
        for layer in self.encoder:
            tokens = layer(tokens)
        keys_values = tuple(layer.keys_values(tokens) for layer in self._decoder_layers)
        return Scene(images, faces.dense, fine.unflatten(0, (count, views)), keys_values)

    @property
    def _decoder_layers(self) -> list[AttentionLayer]:
        return [layer for layer in self.decoder if isinstance(layer, AttentionLayer)]

    def _places(self, size: int, points: Tensor) -> Tensor:
        """Return codes of the cells of a grid (B, size², D): where they are in the picture and on the face."""
        positions = grid_positions(size, points.device)
        influence = influences(positions, points)
        near = influence.sum(2, keepdim=True)
        surface = position_code(influence @ self.surface, SURFACE_OCTAVES)
        place = position_code(positions, POSITION_OCTAVES).expand(len(points), -1, -1)
        return torch.cat([place, surface, near], dim=2)

    def forward(self, scene: Scene, faces: FaceState) -> DecodedLayers:
        """Return what the people's pictures show.

        Args:
            scene: The people.
            faces: How their faces are to be, (B, ...).
        """
        size = self.layout.size_px // FINE_STRIDE
        x = self.query_place(self._places(size, faces.dense)) + self.driving_code(faces.code)[:, None]
        for layer, keys_values in zip(self._decoder_layers, scene.keys_values):
            x = layer(x, keys_values)
        color = _as_picture(self.color(x), size)
        motion = keypoint_motion(faces.dense, scene.dense, size)
        copies = [self._copied(x, scene.fine[:, view], motion[:, view], view) for view in range(motion.shape[1])]
        correction = torch.stack([LARGEST_CORRECTION * copy[:, :2].tanh() for copy in copies], dim=1)
        preferred = torch.zeros(len(copies) + 1, 1, 1, device=x.device)
        preferred[0], preferred[-1] = FIRST_PREFERRED, -FIRST_PREFERRED
        logits = torch.cat([*(copy[:, 2:] for copy in copies), color[:, 3:]], dim=1) + preferred
        return DecodedLayers(color[:, :3] + 0.5, correction, logits.softmax(1))

    def _copied(self, x: Tensor, fine: Tensor, motion: Tensor, view: int) -> Tensor:
        """Return correction and logit (B, 3, S, S) of a source."""
        size = motion.shape[-1]
        at = grid_positions(size, x.device).view(1, size, size, 2) + motion.permute(0, 2, 3, 1)
        shown = grid_sample(fine, at, padding_mode="border", align_corners=False).flatten(2).transpose(1, 2)
        is_first = x.new_full((*x.shape[:2], 1), float(view == 0))
        return _as_picture(self.copy(torch.cat([x, shown, motion.flatten(2).transpose(1, 2), is_first], dim=2)), size)


def keypoint_motion(driven: Tensor, sources: Tensor, size: int) -> Tensor:
    """Return from each pixel to where sources show its point, by the keypoints, (B, V, 2, size, size), half sides.

    Args:
        driven: (B, K, 2) keypoints of the wanted pictures.
        sources: (B, V, K, 2) keypoints of the sources.
        size: Samples along a side.
    """
    influence = influences(grid_positions(size, driven.device), driven)
    moved = influence[:, None] @ (sources - driven[:, None])
    return moved.transpose(2, 3).unflatten(3, (size, size))


def warped_sources(scene: Scene, faces: FaceState, decoded: DecodedLayers) -> Tensor:
    """Return the sources, warped to the pixels of the decoded layers, (B, V, 3, S, S)."""
    side = decoded.color.shape[-1]
    motion = keypoint_motion(faces.dense, scene.dense, side // 2).flatten(0, 1)
    motion = interpolate(motion, size=(side, side), mode="bilinear", align_corners=False)
    at = (motion + decoded.correction.flatten(0, 1)).permute(0, 2, 3, 1)
    at = at + grid_positions(side, at.device).view(1, side, side, 2)
    shown = grid_sample(scene.images.flatten(0, 1), at, padding_mode="border", align_corners=False)
    return shown.unflatten(0, scene.images.shape[:2])


def blended(decoded: DecodedLayers, warped: Tensor) -> Tensor:
    """Return the pictures (B, 3, S, S): warped sources (B, V, 3, S, S) and the colour, mixed by their shares."""
    layers = torch.cat([warped, decoded.color[:, None]], dim=1)
    return (decoded.shares[:, :, None] * layers).sum(1)


def _as_picture(x: Tensor, size: int) -> Tensor:
    """Return answers of queries (B, size², C p²) as (B, C, p size, p size)."""
    return pixel_shuffle(x.transpose(1, 2).unflatten(2, (size, size)), FINE_STRIDE)


def _convolution(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, 2, 1), nn.GELU())


def _perceptron(inputs: int, hidden: int, outputs: int, norm: bool = False) -> nn.Sequential:
    layers = [nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, outputs)]
    return nn.Sequential(*([nn.LayerNorm(inputs)] if norm else []), *layers)
