"""A head reduced to a subset of its vertices, for computations that need no others."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from smirk3d.head.contact import ContactPairs, LidClosure, remapped
from smirk3d.head.data import HeadData


def vertex_subset(data: HeadData, vertex_index: Tensor) -> HeadData:
    """Return a head that computes some vertices exactly as the whole head does.

    Auxiliary vertices are appended: those at which lids and lips meet, and J = 5 at the joints, which move with
    identity and expression as the joints do. The joints, and so the posed vertices, are therefore those of the whole
    head. There are no triangles, regions or landmarks.

    Args:
        data: The whole head, V vertices.
        vertex_index: (N,) int64 vertices to keep, in [0, V).

    Returns:
        A head whose first N vertices are the wanted ones.
    """
    regressor = data.J_regressor
    records = {"lid_closure": data.lid_closure, "contacts": data.contacts}
    needed = [each for record in records.values() if record is not None for each in _vertices(record)]
    if needed:
        extra = torch.cat(needed).unique()
        vertex_index = torch.cat([vertex_index, extra[~torch.isin(extra, vertex_index)]])
    place = torch.full((len(data.v_template),), -1).scatter(0, vertex_index, torch.arange(len(vertex_index)))

    def rows(values: Tensor) -> Tensor:
        return torch.cat([values[vertex_index], torch.einsum("jv,v...->j...", regressor, values)])

    def optional(values: Tensor | None) -> Tensor | None:
        return None if values is None else rows(values)

    # The joints of the reduced head are its last vertices.
    n_joints, count = len(regressor), len(vertex_index)
    at_joints = torch.cat([regressor.new_zeros(n_joints, count), torch.eye(n_joints).to(regressor)], dim=1)
    return replace(
        data,
        v_template=rows(data.v_template),
        shapedirs=rows(data.shapedirs),
        expressiondirs=rows(data.expressiondirs),
        posedirs=optional(data.posedirs),
        eyelid_dirs=optional(data.eyelid_dirs),
        lbs_weights=rows(data.lbs_weights),
        J_regressor=at_joints,
        faces=data.faces[:0],
        faces_uv=data.faces_uv[:0],
        regions={},
        landmarks={},
        contour=None,
        **{name: None if record is None else remapped(record, place) for name, record in records.items()},
        mirror_vertices=None,
    )


def _vertices(record: LidClosure | ContactPairs) -> list[Tensor]:
    """Return the vertices on which the motion of the followers depends."""
    others = record.meeting if isinstance(record, LidClosure) else record.opposite
    return [record.vertex, others.flatten()]
