"""Networks and ways of training with which the clip network is compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor
from torch.nn.functional import gelu

from smirk3d.fer.clips.network import ClipNetwork, ClipPrediction
from smirk3d.fer.clips.predictor import sub_clip_predictions
from smirk3d.train.clip_emotion.clip_set import ClipSet
from smirk3d.train.clip_emotion.config import ClipTrainConfig
from smirk3d.train.clip_emotion.fit import fit_clip_network

CLEANLAB_FOLDS = 3


class FramePooling(ClipNetwork):
    """Every frame is classified by itself; a clip has the mean of the probabilities."""

    def forward(self, clips: Tensor) -> ClipPrediction:
        """Predict as `ClipNetwork` does; there is no key expression."""
        frames = self._frames(clips)
        frame_logits = self.frame_head(frames)
        logits = frame_logits.softmax(2).mean(1).clamp(min=1e-8).log()
        return _without_key(logits, frame_logits)

    def _frames(self, clips: Tensor) -> Tensor:
        scaled = ((clips - self.mean) / self.std).clamp(-6, 6).nan_to_num(0)
        return self.dropout(gelu(self.normalize(self.own(scaled))))


class PlainGru(ClipNetwork):
    """A bidirectional GRU over the frames, and the mean of its states."""

    def forward(self, clips: Tensor) -> ClipPrediction:
        """Predict as `ClipNetwork` does; there is no key expression."""
        scaled = ((clips - self.mean) / self.std).clamp(-6, 6).nan_to_num(0)
        frames = self.dropout(gelu(self.normalize(self.own(scaled))))
        states, _ = self.gru(frames)
        return _without_key(self.head(self.dropout(states.mean(1))), self.frame_head(frames))


def _without_key(logits: Tensor, frame_logits: Tensor) -> ClipPrediction:
    nothing = frame_logits[..., 0] * 0
    return ClipPrediction(logits, logits, frame_logits, nothing, nothing[:, 0], nothing[:, 0])


@dataclass(frozen=True, eq=False)
class NoisyTraining:
    """Clips of which some labels are wrong, and how a network is trained on them.

    Attributes:
        clips: Clips with the labels as they are given.
        is_wrong: (N,) bool, which labels are wrong; only the oracle reads it.
        config: The training.
    """

    clips: ClipSet
    is_wrong: np.ndarray
    config: ClipTrainConfig

    @property
    def plain_config(self) -> ClipTrainConfig:
        """The training without any judgement of labels."""
        return replace(self.config, review=replace(self.config.review, enabled=False))

    def plain(self) -> ClipNetwork:
        """Train on all clips alike."""
        return fit_clip_network(self.clips, self.plain_config).network

    def oracle(self) -> ClipNetwork:
        """Train without the clips whose labels are wrong."""
        return fit_clip_network(self.clips.take(~self.is_wrong), self.plain_config).network

    def small_loss(self) -> ClipNetwork:
        """Leave out, after the warm-up, the clips of largest loss: as many as have wrong labels.

        Source: Han et al., "Co-teaching", NeurIPS 2018, with one network. That the share is known favours it.
        """
        n_kept = len(self.clips) - int(self.is_wrong.sum())
        label = self.clips.label.numpy()

        def weights(epoch: int, network: ClipNetwork) -> np.ndarray:
            if epoch < self.config.review.warm_up:
                return np.ones(len(label), dtype=np.float32)
            support = sub_clip_predictions(network, self.clips.features).mean[np.arange(len(label)), label]
            kept = np.zeros(len(label), dtype=np.float32)
            kept[np.argsort(-support)[:n_kept]] = 1
            return kept

        return fit_clip_network(self.clips, self.plain_config, weights=weights).network

    def cleanlab(self, find_label_issues: Callable[..., np.ndarray]) -> ClipNetwork:
        """Leave out the clips that cleanlab finds by predictions out of fold.

        Source: Northcutt et al., "Confident Learning", JAIR 2021.

        Args:
            find_label_issues: `cleanlab.filter.find_label_issues`.
        """
        label = self.clips.label.numpy()
        fold = np.random.default_rng(self.config.seed).permutation(len(label)) % CLEANLAB_FOLDS
        probabilities = np.zeros((len(label), 8))
        for k in range(CLEANLAB_FOLDS):
            network = fit_clip_network(self.clips.take(fold != k), self.plain_config).network
            probabilities[fold == k] = sub_clip_predictions(network, self.clips.features[fold == k]).mean
        is_issue = np.asarray(find_label_issues(labels=label, pred_probs=probabilities))
        return fit_clip_network(self.clips.take(~is_issue), self.plain_config).network
