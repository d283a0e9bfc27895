"""Milliseconds per mesh of the head model at the size of FLAME, and of the textbook form of the same equations.

The head is made of random numbers: 5,023 vertices, 300 shape and 100 expression components, 36 pose correctives, five
joints, two eyelids; every parameter is set. Both implementations alternate, round by round, so that other load on the
machine affects both; the minimum is closest to an idle machine, the median is typical of this one.

Run with OMP_NUM_THREADS set to the number of threads to measure, and with OMP_WAIT_POLICY=PASSIVE where others use the
machine as well.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable

import torch
from timing import alternate
from torch import Tensor

from smirk3d.head.data import JOINT_NAMES, JOINT_PARENTS, HeadData
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams

VERTICES, SHAPES, EXPRESSIONS, JOINTS = 5023, 300, 100, len(JOINT_NAMES)
ROUNDS, WARM_UP_ROUNDS = 100, 3


def random_head(seed: int = 0) -> HeadData:
    """Return a random head of FLAME's size; as in such heads, a joint is a mean of a few vertices (here 100)."""
    random = torch.Generator().manual_seed(seed)

    def directions(components: int) -> Tensor:
        return 1e-3 * torch.randn(VERTICES, 3, components, generator=random)

    regressor = torch.zeros(JOINTS, VERTICES)
    for row in regressor:
        row[torch.randperm(VERTICES, generator=random)[:100]] = 0.01
    faces = torch.randint(VERTICES, (9976, 3), generator=random)
    return HeadData(
        name="random",
        v_template=0.1 * torch.randn(VERTICES, 3, generator=random),
        shapedirs=directions(SHAPES),
        expressiondirs=directions(EXPRESSIONS),
        expression_rotvec=torch.zeros(EXPRESSIONS, JOINTS, 3),
        J_regressor=regressor,
        lbs_weights=torch.randn(VERTICES, JOINTS, generator=random).softmax(dim=1),
        faces=faces,
        uv=torch.rand(VERTICES, 2, generator=random),
        faces_uv=faces,
        expression_names=tuple(f"expression_{k}" for k in range(EXPRESSIONS)),
        expression_low=float("-inf"),
        expression_high=float("inf"),
        regions={},
        posedirs=directions(9 * (JOINTS - 1)),
        eyelid_dirs=directions(2),
        eyelids_after_skinning=True,
    )


def random_params(batch: int, expressions: int, gradient: bool, seed: int = 0) -> FaceParams:
    """Return random parameters of `batch` faces, all fields set."""
    random = torch.Generator().manual_seed(seed)
    sizes = {"shape": SHAPES, "expression": expressions, "eyelids": 2, "jaw": 3, "pose": 3, "neck": 3, "eyes": 6}
    return FaceParams(
        **{
            name: (0.3 * torch.randn(batch, size, generator=random)).requires_grad_(gradient)
            for name, size in sizes.items()
        }
    )


class Textbook:
    """The equations of SMPL (Loper et al., 2015) and FLAME (Li et al., 2017) as they are usually implemented.

    Args:
        data: The head.
        expressions: Number of expression components.
    """

    def __init__(self, data: HeadData, expressions: int) -> None:
        assert data.posedirs is not None and data.eyelid_dirs is not None
        self.data = data
        self.directions = torch.cat([data.shapedirs, data.expressiondirs[..., :expressions]], dim=2)
        self.posedirs = data.posedirs.reshape(3 * VERTICES, -1).T.contiguous()
        self.eyelid_dirs = data.eyelid_dirs

    def __call__(self, params: FaceParams) -> Tensor:
        """Return the posed vertices (B, V, 3)."""
        value = dict(params.items())
        batch = len(value["shape"])
        coefficients = torch.cat([value["shape"], value["expression"]], dim=1)
        shaped = self.data.v_template + torch.einsum("bk,vck->bvc", coefficients, self.directions)
        joints = torch.einsum("jv,bvc->bjc", self.data.J_regressor, shaped)
        rotvec = torch.cat([value[name] for name in ("pose", "neck", "jaw", "eyes")], dim=1).reshape(-1, 3)
        rotmat = batch_rodrigues(rotvec).reshape(batch, JOINTS, 3, 3)
        feature = (rotmat[:, 1:] - torch.eye(3)).reshape(batch, -1)
        posed = shaped + (feature @ self.posedirs).reshape(batch, VERTICES, 3)
        transforms = rigid_transforms(rotmat, joints)
        blended = (self.data.lbs_weights.expand(batch, -1, -1) @ transforms.reshape(batch, JOINTS, 16)).reshape(
            batch, VERTICES, 4, 4
        )
        homogeneous = torch.cat([posed, torch.ones(batch, VERTICES, 1)], dim=2)
        skinned = (blended @ homogeneous[..., None])[:, :, :3, 0]
        return skinned + torch.einsum("bk,vck->bvc", value["eyelids"], self.eyelid_dirs)


def batch_rodrigues(rotvec: Tensor) -> Tensor:
    """Return the rotation matrices (N, 3, 3) of rotation vectors (N, 3)."""
    angle = (rotvec + 1e-8).norm(dim=1, keepdim=True)
    x, y, z = (rotvec / angle).split(1, dim=1)
    zero = torch.zeros_like(x)
    cross = torch.cat([zero, -z, y, z, zero, -x, -y, x, zero], dim=1).reshape(-1, 3, 3)
    angle = angle[:, :, None]
    return torch.eye(3) + angle.sin() * cross + (1 - angle.cos()) * cross @ cross


def rigid_transforms(rotmat: Tensor, joints: Tensor) -> Tensor:
    """Return the (B, J, 4, 4) transforms of the joints relative to the rest pose."""
    parents = torch.tensor(JOINT_PARENTS)
    relative = torch.cat([joints[:, :1], joints[:, 1:] - joints[:, parents[1:]]], dim=1)
    local = torch.cat([rotmat, relative[..., None]], dim=3)
    local = torch.cat([local, torch.tensor([0.0, 0.0, 0.0, 1.0]).expand(*local.shape[:2], 1, 4)], dim=2)
    chain = [local[:, 0]]
    for joint in range(1, JOINTS):
        chain.append(chain[JOINT_PARENTS[joint]] @ local[:, joint])
    world = torch.stack(chain, dim=1)
    rest = torch.cat([joints, torch.zeros(*joints.shape[:2], 1)], dim=2)[..., None]
    return world - torch.nn.functional.pad(world @ rest, (3, 0))


def measure(implementations: dict[str, Callable[[FaceParams], Tensor]], params: FaceParams, title: str) -> None:
    """Print the time per mesh of each implementation, and its ratio to the first one, which is ours."""
    first, *others = (implementation(params) for implementation in implementations.values())
    batch, gradient = len(first), first.requires_grad
    for other in others:
        torch.testing.assert_close(other, first, atol=1e-5, rtol=0)
    upstream = torch.ones_like(first)

    def run(implementation: Callable[[FaceParams], Tensor]) -> None:
        vertices = implementation(params)
        if gradient:
            vertices.backward(upstream)

    actions = {name: lambda f=function: run(f) for name, function in implementations.items()}
    costs = alternate(actions, ROUNDS, WARM_UP_ROUNDS)
    times = {name: [cost.wall_ms / batch for cost in each] for name, each in costs.items()}
    median = {name: statistics.median(values) for name, values in times.items()}
    minimum = {name: min(values) for name, values in times.items()}
    ours = next(iter(implementations))
    for name in implementations:
        ratio = f"{median[name] / median[ours]:5.1f} ({minimum[name] / minimum[ours]:.1f}) times as long as {ours}"
        print(f"{title:28s} {name:9s} {median[name]:8.3f} ms ({minimum[name]:.3f})  {'' if name == ours else ratio}")


def main() -> None:
    """Print the median and, in brackets, the minimum of milliseconds per mesh."""
    print(f"{VERTICES} vertices, {torch.get_num_threads()} threads, {ROUNDS} rounds: median (minimum) per mesh")
    data = random_head()
    for expressions in (50, 100):
        head = HeadModel(data, n_expression=expressions)
        implementations = {"smirk3d": lambda p, h=head: h(p).vertices, "textbook": Textbook(data, expressions)}
        for gradient in (False, True):
            for batch in (1, 32):
                title = f"{expressions:3d} expr., batch {batch:2d}{', gradient' if gradient else ''}"
                measure(implementations, random_params(batch, expressions, gradient), title)


if __name__ == "__main__":
    main()
