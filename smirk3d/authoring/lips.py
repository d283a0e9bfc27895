"""Closed lips: they touch along a seam on everyone, and the landmarks of the inner lips lie on the seam."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from smirk3d.authoring.edge_loops import Rims, along, opposite
from smirk3d.authoring.openings import LIP_SEAM
from smirk3d.head.data import HeadData
from smirk3d.head.landmark_indices import IBUG68, LIP_RIM_LOWER, LIP_RIM_UPPER

SEAM_FOLLOWERS = {3: 0.3, 4: 0.6, 6: 0.7, 7: 0.3}
"""Loops beside the seam, and the share of its correction that they take."""


def close_seam(mouth: Rims, mean: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
    """Let the lips of every neutral head touch along the seam, half-way between both margins.

    The vertices of the lower lip go half-way to the upper lip; those of the upper lip, which are more, go all the way
    to the line between them.

    Args:
        mouth: Loops of the mouth.
        mean: (V, 3) mean head, metres.
        directions: (V, 3, S) shape directions.

    Returns:
        Mean and directions.
    """
    upper, lower = mouth.upper, mouth.lower
    onto_upper = opposite(lower[LIP_SEAM], upper[LIP_SEAM], mean)
    onto_lower = opposite(upper[LIP_SEAM], lower[LIP_SEAM], mean)

    def closed(values: Tensor) -> Tensor:
        result = values.clone()
        _move_seam(result, lower, (_at(values, onto_upper) - values[lower[LIP_SEAM]]) / 2)
        _move_seam(result, upper, _at(result, onto_lower) - values[upper[LIP_SEAM]])
        return result

    return closed(mean), closed(directions)


def _at(values: Tensor, places: tuple[Tensor, Tensor]) -> Tensor:
    """Return values (V, ...) at places between two vertices each, (N, 2) indices and (N, 2) weights."""
    index, weight = places
    return torch.einsum("nk,nk...->n...", weight, values[index])


def _move_seam(values: Tensor, rim: Tensor, correction: Tensor) -> None:
    """Add a correction (N, ...) to the seam's loop of a rim in place, and parts of it to the loops beside it."""
    correction = correction.clone()
    correction[[0, -1]] = 0.0  # the corners belong to both lips
    values[rim[LIP_SEAM]] += correction
    for loop, share in SEAM_FOLLOWERS.items():
        values[rim[loop]] += share * correction


def shared_motion(mouth: Rims, offsets: Tensor, mean: Tensor) -> Tensor:
    """Return offsets (A, V, 3) of blendshapes in which both lips move alike along the seam, so that it stays closed.

    Args:
        mouth: Loops of the mouth.
        offsets: (A, V, 3) metres.
        mean: (V, 3) mean head with a closed seam, metres.
    """
    moved = offsets.permute(1, 2, 0)
    _, result = close_seam(mouth, mean, moved)
    return result.permute(2, 0, 1)


def profile(rim: Tensor, vertices: Tensor, nodes: Tensor, values: Tensor) -> Tensor:
    """Return values along a rim that are interpolated between nodes without overshoot.

    Args:
        rim: (N,) int64 vertices from corner to corner.
        vertices: (V, 3) metres.
        nodes: (K,) places between the corners, ascending from 0 to 1.
        values: (K,) values there; NaN where unknown.

    Returns:
        (N,) values.
    """
    from scipy.interpolate import PchipInterpolator

    known = ~values.isnan()
    curve = PchipInterpolator(nodes[known].double().numpy(), values[known].double().numpy())
    return torch.from_numpy(curve(along(rim, vertices).double().numpy())).float()


def landmarks_on_seam(data: HeadData, mouth: Rims) -> HeadData:
    """Return the head with the landmarks of the inner lips on the seam, where those of closed lips coincide.

    Args:
        data: A head with the landmarks "mediapipe", whose lips touch along the seam.
        mouth: Loops of the mouth.
    """
    embedding = data.landmarks["mediapipe"]
    x = embedding.points(data.v_template, data.faces)[:, 0]
    x = (x - x[embedding.mirror]) / 2
    middle = (x[list(LIP_RIM_UPPER)] + x[list(LIP_RIM_LOWER)]) / 2
    face_index, barycentric = embedding.face_index.clone(), embedding.barycentric.clone()
    for rim, landmarks in ((mouth.upper, LIP_RIM_UPPER), (mouth.lower, LIP_RIM_LOWER)):
        for landmark, place in zip(landmarks, middle.tolist(), strict=True):
            row, weights = _on_edge(data, rim, place)
            face_index[landmark], barycentric[landmark] = row, weights
    embedding = replace(embedding, face_index=face_index, barycentric=barycentric)
    landmarks = {"mediapipe": embedding, "ibug68": embedding.take(torch.tensor(IBUG68))}
    return replace(data, landmarks=data.landmarks | landmarks)


def _on_edge(data: HeadData, rim: Tensor, x: float) -> tuple[int, Tensor]:
    """Return a triangle beside the seam and weights (3,) of the point of its edge at `x`, metres."""
    places = data.v_template[rim[LIP_SEAM], 0]
    after = int(torch.searchsorted(places.contiguous(), x).clamp(1, len(places) - 1))
    share = float((x - places[after - 1]) / (places[after] - places[after - 1]))
    ends = rim[LIP_SEAM][[after - 1, after]]
    outside = torch.isin(data.faces, rim[LIP_SEAM - 1]).any(1)
    has_edge = (data.faces == ends[0]).any(1) & (data.faces == ends[1]).any(1) & outside
    row = int(torch.nonzero(has_edge)[0, 0])
    corners = data.faces[row]
    return row, (1 - share) * (corners == ends[0]).float() + share * (corners == ends[1]).float()
