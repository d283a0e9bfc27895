"""A small network that estimates the identity from a face's texture and its detected landmarks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

TEXTURE_PX = (48, 40)
"""Height and width of the texture."""
_WIDTHS = ((24, 2), (48, 2), (96, 2))
"""Channels and stride of each convolution."""
_COMPONENTS = 128
"""Principal components of the features that the perceptron reads."""
_HIDDEN_TEXTURE, _HIDDEN_LANDMARKS, _HIDDEN = 192, 128, 192


class ShapeNetwork(nn.Module):
    """Convolutions on the texture, principal components of the landmarks, and a perceptron on both.

    It corrects a linear regression on the landmarks. Regression and components are computed, not trained: see `start`.

    Args:
        n_features: Numbers that describe the detector's output.
        n_shape: Identity coefficients.
    """

    def __init__(self, n_features: int, n_shape: int) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        channels, (height, width) = 1, TEXTURE_PX
        for count, stride in _WIDTHS:
            kernel = 5 if channels == 1 else 3
            blocks += [nn.Conv2d(channels, count, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(count)]
            blocks += [nn.ReLU()]
            channels, height, width = count, -(-height // stride), -(-width // stride)
        self.convolutions = nn.Sequential(*blocks)
        self.texture = nn.Sequential(
            nn.Flatten(), nn.Dropout(0.2), nn.Linear(channels * height * width, _HIDDEN_TEXTURE), nn.ReLU()
        )
        self.components = nn.Linear(n_features, _COMPONENTS).requires_grad_(False)
        self.regression = nn.Linear(n_features, n_shape).requires_grad_(False)
        self.landmarks = nn.Sequential(nn.Linear(_COMPONENTS, _HIDDEN_LANDMARKS), nn.ReLU())
        self.both = nn.Sequential(
            nn.Dropout(0.1),
            nn.Linear(_HIDDEN_TEXTURE + _HIDDEN_LANDMARKS, _HIDDEN),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Linear(_HIDDEN, n_shape),
        )

    def forward(self, textures: Tensor, features: Tensor) -> Tensor:
        """Return the expected identity coefficients (B, S).

        Args:
            textures: (B, 48, 40), with mean 0 and contrast 1.
            features: (B, n_features).
        """
        seen = self.texture(self.convolutions(textures[:, None]))
        from_landmarks = self.landmarks(self.components(features))
        return self.regression(features) + self.both(torch.cat([seen, from_landmarks], dim=1))

    @torch.no_grad()
    def start(self, features: Tensor, shape: Tensor, ridge: float) -> None:
        """Compute regression and components, and let the perceptron begin with hardly any correction.

        Args:
            features: (N, n_features) of all examples.
            shape: (N, S) true coefficients.
            ridge: Penalty of the regression.
        """
        mean = features.mean(0)
        x = (features - mean).double()
        normal = x.T @ x
        solved = torch.linalg.solve(
            normal + ridge * torch.eye(len(normal)), x.T @ (shape - shape.mean(0)).double()
        ).float()
        self.regression.weight.copy_(solved.T)
        self.regression.bias.copy_(shape.mean(0) - mean @ solved)
        value, vector = torch.linalg.eigh(normal / len(x))
        value = value[-_COMPONENTS:].clamp_min(1e-9 * float(value[-1]))
        axes = (vector[:, -_COMPONENTS:] / value.sqrt()).float()
        self.components.weight.copy_(axes.T)
        self.components.bias.copy_(-mean @ axes)
        last = self.both[-1]
        assert isinstance(last, nn.Linear)
        last.weight.mul_(0.1)
