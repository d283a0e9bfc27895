"""Everything that defines one linear head, as one frozen record."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from torch import Tensor

from smirk3d.head.identifier import content_id
from smirk3d.head.spec import Param, ParamSpec
from smirk3d.params import ContourTable, LandmarkEmbedding

JOINT_NAMES: tuple[str, ...] = ("root", "neck", "jaw", "left_eye", "right_eye")
"""The five joints that every head has, in FLAME's order."""
JOINT_PARENTS: tuple[int, ...] = (-1, 0, 1, 1, 1)


@dataclass(frozen=True)
class HeadData:
    """A linear head: V vertices, F triangles, S shape and E expression components, J = 5 joints.

    Lengths are metres in the head frame (+X to the subject's left, +Y up, +Z out of the face).

    Attributes:
        name: short name, for messages and file headers.
        v_template: (V, 3) mean head with a neutral face.
        shapedirs: (V, 3, S) offsets per unit of each shape coefficient.
        expressiondirs: (V, 3, E) offsets per unit of each expression coefficient.
        expression_rotvec: (E, J, 3) rotation vector in radians that each expression coefficient adds to
            each joint, per unit; turns the eyeballs of heads whose gaze is an expression.
        J_regressor: (J, V) joint positions as linear functions of the expressed vertices.
        lbs_weights: (V, J) skinning weights, rows sum to 1.
        faces: (F, 3) int64, counter-clockwise seen from outside.
        uv: (T, 2) texture coordinates, v upwards.
        faces_uv: (F, 3) int64 indices into `uv`.
        expression_names: E names; the ARKit names on the open head.
        expression_low: smallest value of an expression coefficient.
        expression_high: largest value of an expression coefficient.
        regions: name -> (V,) bool vertex mask.
        landmarks: "mediapipe" (478) and "ibug68" (68) embeddings; empty until they are computed.
        contour: the 17 first points of "ibug68" where they depend on the yaw of the head, or None.
        posedirs: (V, 3, 9 (J - 1)) pose correctives, or None.
        eyelid_dirs: (V, 3, 2) offsets of the closed left and right eyelid, or None.
        eyelids_after_skinning: add the eyelids to the posed vertices in world axes, as the released
            checkpoint of METHOD section 2 expects, instead of to the expressed ones.
        jaw_readout: (E, 3) rotation vector of the jaw that each expression coefficient looks like, for
            heads whose jaw is an expression; None where the jaw is a joint parameter.
        mirror_vertices: (V,) int64 partner of each vertex in the mirrored head, or None.
        shape_mirror_sign: (S,) ±1; mirroring a face multiplies its shape coefficients by it; or None.
        meta: versions, sources and licences, for the file header.
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
    mirror_vertices: Tensor | None = None
    shape_mirror_sign: Tensor | None = None
    meta: dict[str, str] = field(default_factory=dict)

    @cached_property
    def content_id(self) -> str:
        """Name and content hash of the head, see `smirk3d.head.identifier.content_id`; computed at the first use."""
        return content_id(self)

    def spec(self, n_shape: int, n_expression: int) -> ParamSpec:
        """Return names, sizes and ranges of the parameters that this head is fitted with."""
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
