"""The differentiable head model: one module for the open head, FLAME and any other linear head.

A head is computed in named stages, each a new frozen object:
neutral -> `ShapedHead` (identity) -> `ExpressedHead` (expression) -> `HeadMesh` (posed).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from smirk3d.geometry.rotations import rotvec_to_rotmat
from smirk3d.head.contact import on_device
from smirk3d.head.data import JOINT_PARENTS, HeadData
from smirk3d.head.identifier import HeadId
from smirk3d.head.skinning import linear_blend_skinning
from smirk3d.head.spec import ParamSpec
from smirk3d.params import FaceParams, LandmarkEmbedding


@dataclass(frozen=True)
class ShapedHead:
    """A person's neutral head.

    Attributes:
        vertices: (..., V, 3) metres, head frame.
    """

    vertices: Tensor


@dataclass(frozen=True)
class ExpressedHead:
    """A person's head with an expression, before the joints are rotated.

    Attributes:
        vertices: (..., V, 3) metres, head frame.
        expression: (..., E) coefficients; kept because they may rotate joints (gaze).
    """

    vertices: Tensor
    expression: Tensor


@dataclass(frozen=True)
class HeadMesh:
    """A posed head.

    Attributes:
        vertices: (..., V, 3) metres.
        joints: (..., J, 3) metres, before posing.
        rotation_rotmat: (..., 3, 3) rotation of the skull (root times neck).
        head: The model of which this is a mesh.
    """

    vertices: Tensor
    joints: Tensor
    rotation_rotmat: Tensor
    head: HeadModel

    def landmarks(self, name: str = "ibug68") -> Tensor:
        """Return landmarks on the posed surface.

        The contour of "ibug68" depends on the yaw of the head where the head has a table for it.

        Args:
            name: "ibug68", "ibug68_static" or "mediapipe".

        Returns:
            (..., L, 3) metres, L = 68 or 478.

        Raises:
            KeyError: The head has no such landmarks.
        """
        points = self.head.landmark_embedding(name).points(self.vertices, self.head.faces)
        contour = self.head.data.contour
        if name != "ibug68" or contour is None:
            return points
        contour_points = contour.to(self.vertices.device).points(self.vertices, self.head.faces, self.rotation_rotmat)
        return torch.cat([contour_points, points[..., contour_points.shape[-2] :, :]], dim=-2)


class HeadModel(nn.Module):
    """A linear head with joints, eyelids and landmark embeddings; shapes as in `HeadData`.

    The tensors are buffers that are not part of the state dict: they follow `.to(device)`, and checkpoints do not hold
    them.

    Args:
        data: The head.
        n_shape: Number of identity components to use, all by default.
        n_expression: Number of expression components to use, all by default.

    Raises:
        ValueError: The head has fewer components.
    """

    v_template: Tensor
    shapedirs: Tensor
    expressiondirs: Tensor
    expression_rotvec: Tensor
    J_regressor: Tensor
    lbs_weights: Tensor
    faces: Tensor
    uv: Tensor
    faces_uv: Tensor
    posedirs: Tensor | None
    eyelid_dirs: Tensor | None
    _joint_support: Tensor
    _joint_weights: Tensor

    def __init__(self, data: HeadData, n_shape: int | None = None, n_expression: int | None = None) -> None:
        super().__init__()
        self.data = data
        n_shape = _checked_size("shape", n_shape, data.shapedirs.shape[-1])
        n_expression = _checked_size("expression", n_expression, data.expressiondirs.shape[-1])
        self.spec: ParamSpec = data.spec(n_shape, n_expression)
        buffers: dict[str, Tensor | None] = {
            "v_template": data.v_template,
            "shapedirs": _component_major(data.shapedirs[..., :n_shape]),
            "expressiondirs": _component_major(data.expressiondirs[..., :n_expression]),
            "expression_rotvec": data.expression_rotvec[:n_expression],
            "J_regressor": data.J_regressor,
            "lbs_weights": data.lbs_weights,
            "faces": data.faces,
            "uv": data.uv,
            "faces_uv": data.faces_uv,
        }
        for name, directions in {"posedirs": data.posedirs, "eyelid_dirs": data.eyelid_dirs}.items():
            buffers[name] = None if directions is None else _component_major(directions)
        # The joints depend on few vertices; a regressor of their columns alone is ten times as fast.
        buffers["_joint_support"] = data.J_regressor.any(dim=0).nonzero()[:, 0]
        buffers["_joint_weights"] = data.J_regressor[:, buffers["_joint_support"]]
        for name, value in buffers.items():
            self.register_buffer(name, value, persistent=False)
        self.expression_names = data.expression_names[:n_expression]
        self._expression_rotates_joints = bool(data.expression_rotvec.abs().max() > 0)

    @property
    def id(self) -> str:
        """Identifier that follows from the head's data and the numbers of components; the same in every process.

        `smirk3d.head.load.find_head_data` finds the data of a packaged or cached head by it.
        """
        return str(HeadId(self.data.content_id, self.n_shape, self.n_expression))

    @property
    def n_shape(self) -> int:
        """Number of shape components in use."""
        return self.shapedirs.shape[-1]

    @property
    def n_expression(self) -> int:
        """Number of expression components in use."""
        return self.expressiondirs.shape[-1]

    def region_mask(self, name: str) -> Tensor:
        """Return the (V,) bool vertex mask of a region.

        Args:
            name: One of `HeadData.regions`, or "head" for all vertices.

        Raises:
            KeyError: The head has no such region.
        """
        if name == "head":
            return torch.ones(len(self.v_template), dtype=torch.bool, device=self.faces.device)
        if name not in self.data.regions:
            known = ", ".join(sorted(self.data.regions))
            raise KeyError(f"head {self.data.name!r} has no region {name!r}; it has head, {known}")
        return self.data.regions[name].to(self.faces.device)

    def region_faces(self, name: str) -> Tensor:
        """Return the triangles (K, 3) int64 whose three corners lie in a region, named as in `region_mask`."""
        return self.faces[self.region_mask(name)[self.faces].all(dim=1)]

    def landmark_embedding(self, name: str) -> LandmarkEmbedding:
        """Return a landmark embedding on the device of the head.

        Args:
            name: "mediapipe", "ibug68" or "ibug68_static"; the latter two share their embedding.

        Raises:
            KeyError: The head has no such landmarks.
        """
        key = "ibug68" if name == "ibug68_static" else name
        if key not in self.data.landmarks:
            known = ", ".join(sorted(self.data.landmarks)) or "none"
            raise KeyError(f"head {self.data.name!r} has no landmarks {name!r}; it has {known}")
        return self.data.landmarks[key].to(self.faces.device)

    def shaped(self, shape: Tensor | None) -> ShapedHead:
        """Apply identity coefficients to the mean head.

        Args:
            shape: (..., <= S) coefficients of unit variance, sensibly within ±3; missing trailing ones are zeros, None
                is the mean head.

        Raises:
            ValueError: There are more coefficients than components in use.
        """
        # A copy, because callers may modify the result of a stage in place.
        neutral = self.v_template.clone() if shape is None else self.v_template
        return ShapedHead(_blend(neutral, self.shapedirs, shape))

    def expressed(self, shaped: ShapedHead, params: FaceParams) -> ExpressedHead:
        """Apply expression offsets to a neutral head; lids and lips touch and do not pass through each other.

        Args:
            shaped: The neutral head, vertices (..., V, 3).
            params: `expression` (..., <= E) is used and, where the head adds them before skinning, `eyelids` (..., 2).

        Raises:
            ValueError: There are more coefficients than components in use, or eyelids that the head does not have.
        """
        vertices = _blend(shaped.vertices, self.expressiondirs, params.expression)
        if not self.data.eyelids_after_skinning:
            vertices = self._with_eyelids(vertices, params.eyelids)
        expression = params.expression
        if expression is None:
            expression = vertices.new_zeros(self.n_expression)
        if params.expression is not None or params.eyelids is not None:
            eyelids = None if self.data.eyelids_after_skinning else params.eyelids
            vertices = self._with_contact(vertices, shaped.vertices, expression, eyelids)
        return ExpressedHead(vertices, expression)

    def posed(self, expressed: ExpressedHead, params: FaceParams) -> HeadMesh:
        """Rotate the joints by linear blend skinning, with pose correctives where the head has them.

        Args:
            expressed: The head before posing, vertices (..., V, 3).
            params: `pose`, `neck`, `jaw` (..., 3) and `eyes` (..., 6) are used, rotation vectors in radians; the
                expression may add to them (gaze). Where the head adds them after skinning, `eyelids` (..., 2), too.

        Raises:
            ValueError: Eyelids are given that the head does not have.
        """
        vertices = expressed.vertices
        # Joints are regressed from the expressed head: they move with identity and expression.
        joints = self._joint_weights @ vertices.index_select(-2, self._joint_support)
        rotvec = self.joint_rotvec(expressed.expression, params)
        batch = np.broadcast_shapes(vertices.shape[:-2], rotvec.shape[:-2])
        rotmat = rotvec_to_rotmat(rotvec).expand(*batch, -1, -1, -1)
        vertices = vertices.expand(*batch, -1, -1)
        if self.posedirs is not None:
            # Pose correctives are linear in the entries of R - 1 of all joints but the root (SMPL, equation 9).
            identity = torch.eye(3, dtype=rotmat.dtype, device=rotmat.device)
            vertices = _blend(vertices, self.posedirs, (rotmat[..., 1:, :, :] - identity).flatten(-3))
        joints = joints.expand(*batch, -1, -1)
        vertices = linear_blend_skinning(vertices, joints, rotmat, self.lbs_weights, JOINT_PARENTS)
        if self.data.eyelids_after_skinning:
            vertices = self._with_eyelids(vertices, params.eyelids)
        return HeadMesh(vertices, joints, rotmat[..., 0, :, :] @ rotmat[..., 1, :, :], self)

    def joint_rotvec(self, expression: Tensor, params: FaceParams) -> Tensor:
        """Return the rotation vectors of the joints, those of the parameters plus those of the expression.

        Args:
            expression: (..., <= E) coefficients.
            params: `pose`, `neck`, `jaw` and `eyes` are used, in radians.

        Returns:
            (..., J, 3) radians: root, neck, jaw, left and right eye.
        """
        zero = expression.new_zeros(3)
        eyes = params.eyes if params.eyes is not None else expression.new_zeros(6)
        parts = [params.pose, params.neck, params.jaw, eyes[..., :3], eyes[..., 3:]]
        parts = [zero if part is None else part for part in parts]
        rotvec = torch.stack(torch.broadcast_tensors(*parts), dim=-2)
        if self._expression_rotates_joints:
            n = expression.shape[-1]
            rotvec = rotvec + torch.einsum("...e,ejk->...jk", expression, self.expression_rotvec[:n])
        return rotvec

    def forward(self, params: FaceParams) -> HeadMesh:
        """Return the posed head: `shaped`, `expressed` and `posed` in turn.

        Args:
            params: Fields (..., size) of any leading batch shape that broadcasts; missing fields are zeros. `camera` is
                not used.

        Returns:
            The mesh, vertices (..., V, 3) in metres in the head frame.

        Raises:
            ValueError: There are more coefficients than components in use, or eyelids that the head does not have.
        """
        return self.posed(self.expressed(self.shaped(params.shape), params), params)

    def _with_contact(self, vertices: Tensor, neutral: Tensor, expression: Tensor, eyelids: Tensor | None) -> Tensor:
        """Return expressed vertices (..., V, 3) of a neutral head (..., V, 3) whose lids and lips meet."""
        if self.data.lid_closure is not None:
            lids = on_device(self.data.lid_closure, vertices.device)
            vertices = lids.closed(vertices, lids.way(neutral) - lids.way(self.v_template), expression, eyelids)
        if self.data.contacts is not None:
            vertices = on_device(self.data.contacts, vertices.device).separated(vertices, neutral, expression)
        return vertices

    def _with_eyelids(self, vertices: Tensor, eyelids: Tensor | None) -> Tensor:
        if eyelids is not None and self.eyelid_dirs is None:
            raise ValueError(f"head {self.data.name!r} has no eyelid offsets, but eyelids were given")
        return _blend(vertices, self.eyelid_dirs, eyelids)


def _checked_size(name: str, wanted: int | None, available: int) -> int:
    if wanted is None:
        return available
    if not 0 < wanted <= available:
        raise ValueError(f"n_{name} must be between 1 and {available}, not {wanted}")
    return wanted


def _component_major(directions: Tensor) -> Tensor:
    """Return the same (V, 3, K) tensor with each component contiguous in memory.

    Blending one head is then a sum of contiguous rows at the bandwidth of the memory, twice as fast as V dot products.
    """
    return directions.permute(2, 0, 1).contiguous().permute(1, 2, 0)


def _blend(vertices: Tensor, directions: Tensor | None, coefficients: Tensor | None) -> Tensor:
    """Return vertices + sum_k directions[..., k] * coefficients[..., k].

    Shapes: (..., V, 3), (V, 3, K) and (..., <= K) give (..., V, 3); None stands for zero coefficients.
    """
    if coefficients is None or directions is None:
        return vertices
    # Fewer coefficients than components are allowed; the product then reads only the rows that are needed.
    count = coefficients.shape[-1]
    if count > directions.shape[-1]:
        raise ValueError(f"{count} coefficients were given, but this head uses {directions.shape[-1]}")
    rows = directions.permute(2, 0, 1)[:count].flatten(1)
    return vertices + (coefficients @ rows).unflatten(-1, directions.shape[:2])
