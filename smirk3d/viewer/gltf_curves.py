"""Curves of a glTF document: its first animation, or the default weights.

Source: glTF 2.0 specification, section 3.11.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from smirk3d.export.gltf.reader import GltfArrays, Json, item, rotmats_from_quaternions
from smirk3d.export.gltf.resources import RefusedFile
from smirk3d.track import Status
from smirk3d.viewer.gltf_targets import TargetIndex, checked_weights
from smirk3d.viewer.scene import Curves

MAX_CURVE_VALUES = 1 << 25
"""Key frames times morph targets; twenty minutes of 52 targets at 60 frames per second have a tenth of it."""
_DEFAULT_RATE_FPS = 25.0


@dataclass(frozen=True, eq=False)
class _Channel:
    """One animated value.

    Attributes:
        time_s: (K,) float64, seconds of the keys.
        values: (K, ...) float64, values at the keys.
        is_step: Whether the value is constant between keys; otherwise it is interpolated linearly.
    """

    time_s: np.ndarray
    values: np.ndarray
    is_step: bool

    def at(self, time_s: np.ndarray) -> np.ndarray:
        """Return the values (M, ...) at times (M,), constant before the first and after the last key."""
        after = np.searchsorted(self.time_s, time_s, side="right").clip(1, max(len(self.time_s) - 1, 1))
        before, after = after - 1, np.minimum(after, len(self.time_s) - 1)
        span = (self.time_s[after] - self.time_s[before]).clip(1e-9)
        share = ((time_s - self.time_s[before]) / span).clip(0, 1)
        share = np.floor(share) if self.is_step else share
        share = share.reshape(-1, *[1] * (self.values.ndim - 1))
        return self.values[before] * (1 - share) + self.values[after] * share


def read_curves(file: GltfArrays, head: int | None, targets: TargetIndex) -> Curves:
    """Return the first animation, with frames at the keys of the weights, or the default weights.

    Args:
        file: The document and its arrays.
        head: Node whose rotation and translation are shown; None for none.
        targets: Its morph targets.

    Raises:
        RefusedFile: It has too many keys.
        ValueError: It is damaged.
    """
    document, channels = file.document, _Channels(file)
    weights = _weight_channels(channels, document, targets)
    rotation, translation = (channels.find(head, path) for path in ("rotation", "translation"))
    present = [channel for channel in (*weights.values(), rotation, translation) if channel is not None]
    if not present:
        return _still(document, targets)
    time_s = present[0].time_s
    _check_size(len(time_s) * len(targets.names))
    values = np.tile(targets.rest_weights(document), (len(time_s), 1))
    for mesh, channel in weights.items():
        values[:, targets.rows[mesh]] = channel.at(time_s)
    rotations, positions = np.tile(np.eye(3), (len(time_s), 1, 1)), np.zeros((len(time_s), 3))
    if rotation is not None:
        # q and -q are one rotation; take the shorter way.
        signs = np.sign(np.sum(rotation.values[1:] * rotation.values[:-1], axis=1))
        rotation.values[1:] *= np.cumprod(np.where(signs < 0, -1.0, 1.0))[:, None]
        rotations = rotmats_from_quaternions(rotation.at(time_s)) @ _rest_rotation(document, head).T
    if translation is not None:
        positions = translation.at(time_s).reshape(len(time_s), 3)
    step_s = np.median(np.diff(time_s)) if len(time_s) > 1 else 1 / _DEFAULT_RATE_FPS
    status = np.full(len(time_s), Status.SEEN, dtype=np.uint8)
    rate_fps = float(1 / max(step_s, 1e-3))
    return Curves(
        time_s, checked_weights(values), rotations.astype(np.float32), positions.astype(np.float32), status, rate_fps
    )


class _Channels:
    """The channels of the first animation of a document."""

    def __init__(self, file: GltfArrays):
        self._file = file
        self._animation: Json = next(iter(file.document.get("animations", [])), {"channels": []})
        self._found: dict[tuple[int, str], Json] = {}
        for channel in self._animation["channels"]:
            self._found.setdefault((channel["target"].get("node"), channel["target"]["path"]), channel)

    def count(self, node: int | None, path: str) -> int:
        """Return the number of keys of a property of a node; 0 where it is not animated."""
        sampler = self._sampler(node, path)
        return 0 if sampler is None else self._file.count(sampler["input"])

    def find(self, node: int | None, path: str, width: int = 0) -> _Channel | None:
        """Return the channel of a property of a node, None where it is not animated.

        Args:
            node: Index of the node.
            path: The property.
            width: Number of values of a key where these are scalars, 0 otherwise.
        """
        sampler = self._sampler(node, path)
        if sampler is None:
            return None
        time_s = self._file.array(sampler["input"])[:, 0].astype(np.float64)
        if (np.diff(time_s) < 0).any():
            raise ValueError("the times of its animation do not increase")
        values = self._file.array(sampler["output"]).astype(np.float64)
        if sampler.get("interpolation") == "CUBICSPLINE":  # in-tangent, value, out-tangent; only the values are used
            values = values.reshape(len(time_s), 3, -1)[:, 1]
        values = values.reshape(len(time_s), width) if width else values
        if len(values) != len(time_s):
            raise ValueError("its animation has other numbers of times than of values")
        return _Channel(time_s, values, sampler.get("interpolation") == "STEP")

    def _sampler(self, node: int | None, path: str) -> Json | None:
        channel = None if node is None else self._found.get((node, path))
        return None if channel is None else item(self._animation, "samplers", channel["sampler"])


def _weight_channels(channels: _Channels, document: Json, targets: TargetIndex) -> dict[int, _Channel]:
    """Return the channel of the weights of each mesh; of a mesh with several nodes that of the last."""
    nodes = {k: node["mesh"] for k, node in enumerate(document.get("nodes", [])) if "mesh" in node}
    last = {mesh: node for node, mesh in nodes.items()}
    found, total = {}, 0
    for mesh in dict.fromkeys(nodes.values()):
        item(document, "meshes", mesh)
        total += channels.count(last[mesh], "weights") * len(targets.rows[mesh])
        _check_size(total)
        channel = channels.find(last[mesh], "weights", len(targets.rows[mesh]))
        if channel is not None:
            found[mesh] = channel
    return found


def _check_size(n_values: int) -> None:
    if n_values > MAX_CURVE_VALUES:
        raise RefusedFile(f"has {n_values} key frames times morph targets, more than {MAX_CURVE_VALUES}; shorten it")


def _rest_rotation(document: Json, head: int | None) -> np.ndarray:
    """Return the rotation (3, 3) of the head's node at rest; identity in files of smirk3d."""
    if head is None or document["asset"].get("generator") == "smirk3d":
        return np.eye(3)
    return rotmats_from_quaternions(np.array([document["nodes"][head].get("rotation") or (0, 0, 0, 1)]))[0]


def _still(document: Json, targets: TargetIndex) -> Curves:
    """Return one frame: the default weights, and the rotation that files of smirk3d store in the extras of a node."""
    extras = [node.get("extras") or {} for node in document.get("nodes", [])]
    quaternion = next((each["rotation_quaternion"] for each in extras if "rotation_quaternion" in each), (0, 0, 0, 1))
    return Curves(
        np.zeros(1),
        targets.rest_weights(document)[None],
        rotmats_from_quaternions(np.array([quaternion])).astype(np.float32),
        np.zeros((1, 3), dtype=np.float32),
        np.full(1, Status.SEEN, dtype=np.uint8),
        _DEFAULT_RATE_FPS,
    )
