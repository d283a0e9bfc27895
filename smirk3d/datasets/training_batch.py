"""The batch of a training step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from smirk3d.params import FaceParams


@dataclass(frozen=True)
class TrainingBatch:
    """B crops of faces with their annotations.

    Attributes:
        image: (B, 3, S, S) RGB in [0, 1].
        landmarks_ndc: (B, 478, 2) MediaPipe's landmarks, x right and y down, [-1, 1] from edge to edge of the crop.
        landmark_weight: (B, 478) in [0, 1], 0 where a landmark is unknown.
        person: (B,) int64, equal for faces that are known to show one person.
        target: Ground truth or pseudo-targets, fields (B, ...); None without any.
        target_weight: (B,) confidence of `target` in [0, 1]: 1 for rendered heads, 0 without a target.
        contour_ndc: (B, 17, 2) iBUG's contour points, like `landmarks_ndc`; arbitrary where the weight is 0.
        contour_weight: (B,) in [0, 1], 0 where the contour is unknown.
    """

    image: Tensor
    landmarks_ndc: Tensor
    landmark_weight: Tensor
    person: Tensor
    target: FaceParams | None
    target_weight: Tensor
    contour_ndc: Tensor
    contour_weight: Tensor

    def __len__(self) -> int:
        return len(self.image)

    def to(self, device: torch.device | str) -> TrainingBatch:
        """Return a copy on another device."""
        return self._mapped(lambda tensor: tensor.to(device))

    def take(self, index: Tensor) -> TrainingBatch:
        """Return the faces at an index (K,) int64 or of a mask (B,) bool."""
        return self._mapped(lambda tensor: tensor[index])

    def _mapped(self, change: Callable[[Tensor], Tensor]) -> TrainingBatch:
        target = self.target
        if target is not None:
            target = FaceParams(**{name: change(value) for name, value in target.items()})
        return TrainingBatch(
            image=change(self.image),
            landmarks_ndc=change(self.landmarks_ndc),
            landmark_weight=change(self.landmark_weight),
            person=change(self.person),
            target=target,
            target_weight=change(self.target_weight),
            contour_ndc=change(self.contour_ndc),
            contour_weight=change(self.contour_weight),
        )
