"""The data of a linear head model as one frozen record."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from torch import Tensor

from smirk3d.head.contact import ContactPairs, LidClosure
from smirk3d.head.identifier import content_id
from smirk3d.head.spec import Param, ParamSpec
from smirk3d.params import ContourTable, LandmarkEmbedding

JOINT_NAMES: tuple[str, ...] = ("root", "neck", "jaw", "left_eye", "right_eye")
"""The five joints that every head has, in FLAME's order."""
JOINT_PARENTS: tuple[int, ...] = (-1, 0, 1, 1, 1)
"""Index of each joint's parent; -1 for the root."""


@dataclass(frozen=True)
class HeadData:
    """A linear head: V vertices, F triangles, S shape and E expression components, J = 5 joints.

    Lengths are metres in the head frame (+X to the subject's left, +Y up, +Z out of the face); tensors are float32
    unless stated otherwise. The names of the bases are those of SMPL and FLAME.

    Attributes:
        name: Short name, for messages and file headers.
        v_template: (V, 3) mean head with a neutral face.
        shapedirs: (V, 3, S) offsets per unit of each shape coefficient.
        expressiondirs: (V, 3, E) offsets per unit of each expression coefficient.
        expression_rotvec: (E, J, 3) rotation vector in radians that each expression coefficient adds to each joint, per
            unit. It rotates the eyeballs of heads whose gaze is part of the expression.
        J_regressor: (J, V) joint positions as linear functions of the expressed vertices.
        lbs_weights: (V, J) skinning weights, rows sum to 1.
        faces: (F, 3) int64 triangles, counter-clockwise from outside.
        uv: (T, 2) texture coordinates in [0, 1], v upwards.
        faces_uv: (F, 3) int64 indices into `uv`.
        expression_names: E names; the ARKit names on the open head.
        expression_low: Smallest value of an expression coefficient; may be -inf.
        expression_high: Largest value of an expression coefficient; may be inf.
        regions: Name -> (V,) bool vertex mask.
        landmarks: Embeddings "mediapipe" (478) and "ibug68" (68); empty until they are computed.
        contour: The first 17 landmarks of "ibug68" by the yaw of the head, or None where they are static.
        posedirs: (V, 3, 9 (J - 1)) pose-corrective offsets, or None.
        eyelid_dirs: (V, 3, 2) offsets of the closed left and right eyelid, or None.
        eyelids_after_skinning: Whether eyelid offsets are added to the posed vertices in world axes, as the released
            checkpoint of SMIRK expects (Retsinas et al., CVPR 2024), instead of to the expressed vertices.
        jaw_readout: (E, 3) rotation vector in radians of the jaw that fits the offsets of each expression coefficient,
            for heads whose jaw is part of the expression; None where the jaw is a joint parameter.
        lid_closure: How the blink follows a person's lids, or None.
        contacts: Margins of lids and lips that never overlap, or None.
        mirror_vertices: (V,) int64 index of each vertex's partner in the mirrored head, or None.
        shape_mirror_sign: (S,) ±1, factor of each shape coefficient when a face is mirrored, or None.
        meta: Versions, sources and licences, for the file header.
    """

    name: str
    v_template: Tensor
    shapedirs: Tensor
    expressiondirs: Tensor
    expression_rotvec: Tensor
    J_regressor: Tensor
    lbs_weights: Tensor
    faces: Tensor
    uv: Tensor
    faces_uv: Tensor
    expression_names: tuple[str, ...]
    expression_low: float
    expression_high: float
    regions: dict[str, Tensor]
    landmarks: dict[str, LandmarkEmbedding] = field(default_factory=dict)
    contour: ContourTable | None = None
    posedirs: Tensor | None = None
    eyelid_dirs: Tensor | None = None
    eyelids_after_skinning: bool = False
    jaw_readout: Tensor | None = None
    lid_closure: LidClosure | None = None
    contacts: ContactPairs | None = None
    mirror_vertices: Tensor | None = None
    shape_mirror_sign: Tensor | None = None
    meta: dict[str, str] = field(default_factory=dict)

    @cached_property
    def content_id(self) -> str:
        """Name and content hash of the head, see `smirk3d.head.identifier.content_id`; computed at the first use."""
        return content_id(self)

    def spec(self, n_shape: int, n_expression: int) -> ParamSpec:
        """Return names, sizes and ranges of the parameters that an optimisation or an encoder estimates for this head.

        Args:
            n_shape: Identity components in use.
            n_expression: Expression components in use.
        """
        params = [
            Param("shape", n_shape),
            Param("expression", n_expression, self.expression_low, self.expression_high),
        ]
        if self.eyelids_after_skinning:
            params.append(Param("eyelids", 2, 0.0, 1.0))
        if self.jaw_readout is None:
            params.append(Param("jaw", 3))
        params += [Param("pose", 3), Param("camera", 3)]
        return ParamSpec(tuple(params))
