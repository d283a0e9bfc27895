"""Write a face-like head in the file layout of FLAME, made from the open head alone.

Another person, another mesh and other bases than the open head's, so that reading, landmark detection, transfer and
retargeting can be tried honestly without a licensed file; which point of the open head each vertex lies on is known.

Usage: python scripts/flame_layout.py OUT.pkl [--companions] [--no-jaw]
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from flame_layout_files import write_companions, write_model
from flame_layout_mesh import Tessellation, front_points, nearest_points, normals, tessellate
from scipy import sparse

from smirk3d.geometry.align import align
from smirk3d.head.data import HeadData
from smirk3d.head.load import open_head_data
from smirk3d.head.mediapipe_points import IBUG68
from smirk3d.head.open_head import sphere_center

SHAPES, EXPRESSIONS, POSE_ENTRIES = 300, 100, 36
POSE_AMPLITUDE_M = 3e-4
"""Root mean square of a pose corrective."""
SCALE = 1.03
OFFSET_M = np.array([0.0, -0.03, -0.06])
"""Where the open head's origin is in the file."""
PERSON_COMPONENTS, PERSON_STRENGTH = 30, 0.8
MIXED = 10
"""Neighbouring identity components that are mixed with one another."""
SAMPLES, ACTIVITY = 2000, 0.12
"""Random expressions, and how often each action takes part in one."""
PARAMETER_ACTIONS = ("eyeBlink", "eyeLook", "tongue")
"""Beginnings of the actions that are eyelids, joints or nothing in FLAME."""
JAW_ACTIONS = ("jawOpen", "jawLeft", "jawRight", "jawForward")
YAWS_DEG = (*range(40), *range(-1, -40, -1))
"""Yaw of each row of the table of contours."""
PARENTS = (4294967295, 0, 1, 1, 1)


@dataclass(frozen=True)
class Landmarks:
    """Points on the mesh of a `FlameLayout`: `face_index` (..., L) int64, `barycentric` (..., L, 3) float64."""

    face_index: np.ndarray
    barycentric: np.ndarray


@dataclass(frozen=True)
class FlameLayout:
    """What the files hold, and the truth about it; metres, +X to the subject's left, +Y up, +Z out of the face.

    Attributes:
        f: (9976, 3) uint32. v_template: (5023, 3). shapedirs: (5023, 3, 400), 300 shape and 100 expression.
        posedirs: (5023, 3, 36). J_regressor: (5, 5023) sparse. weights: (5023, 5). kintree_table: (2, 5) int64.
        J: (5, 3) root, neck, jaw, left eye, right eye. All float64.
        eyelids: (2, 5023, 3) offsets of the closed left and right lid.
        masks: vertex indices by region.
        mediapipe: 478 landmarks. ibug68: 68. contour: (79, 17), rows for yaws of 0..39 and -1..-39 degrees.
        open_face_index: (5023,) triangle of the open head that each vertex lies on. open_barycentric: (5023, 3).
        open_shape: (30,) identity coefficients of the open head. `v_template` is the carried open head of this
            shape times `SCALE` plus `OFFSET_M`.
    """

    f: np.ndarray
    v_template: np.ndarray
    shapedirs: np.ndarray
    posedirs: np.ndarray
    J_regressor: sparse.csc_matrix
    weights: np.ndarray
    kintree_table: np.ndarray
    J: np.ndarray
    eyelids: np.ndarray
    masks: dict[str, np.ndarray]
    mediapipe: Landmarks
    ibug68: Landmarks
    contour: Landmarks
    open_face_index: np.ndarray
    open_barycentric: np.ndarray
    open_shape: np.ndarray


@dataclass(frozen=True)
class _Person:
    """The open head as one person, in the file's scale and place.

    Attributes:
        head: the open head. shape: (30,) its identity coefficients.
        rest: (open V, 3) metres. actions: (52, open V, 3) metres.
        mesh: the other tessellation. carrier: (V, open V), carries values over. vertices: (V, 3) `rest` carried.
    """

    head: HeadData
    shape: np.ndarray
    rest: np.ndarray
    actions: np.ndarray
    mesh: Tessellation
    carrier: sparse.csr_matrix
    vertices: np.ndarray

    def region(self, name: str) -> np.ndarray:
        """Return the mask (V,) of a region of the open head."""
        return self.carrier @ self.head.regions[name].double().numpy() > 0.5

    def open_region(self, name: str) -> np.ndarray:
        """Return the mask (open V,) of a region."""
        return self.head.regions[name].numpy()


def make_flame_layout(seed: int = 0, jaw: bool = True) -> FlameLayout:
    """Return a head in FLAME's layout, the same object each time; do not write into it.

    Args:
        seed: of the person, the mesh and the bases.
        jaw: turn the jaw by its joint; otherwise its movements are expressions, as in FLAME 2023 without jaw.
    """
    return _layout(seed) if jaw else _layout_without_jaw(seed)


# The public function is not cached itself: a cache tells f(), f(0) and f(seed=0) apart.
@lru_cache(maxsize=4)
def _layout(seed: int) -> FlameLayout:
    person = _person(seed)
    rng = np.random.default_rng([seed, 1])
    weights, jaw = _skinning(person)
    joints = _joints(person, jaw)
    blinks = [person.head.expression_names.index(name) for name in ("eyeBlinkLeft", "eyeBlinkRight")]
    mediapipe = _landmarks(person)
    return FlameLayout(
        f=person.mesh.faces.astype(np.uint32),
        v_template=person.vertices,
        shapedirs=np.concatenate([_shapes(person, rng), _expressions(person, PARAMETER_ACTIONS + JAW_ACTIONS, rng)], 2),
        posedirs=_smooth_modes(person, np.full(POSE_ENTRIES, POSE_AMPLITUDE_M), rng),
        J_regressor=_regressor(person, joints),
        weights=weights,
        kintree_table=np.array([PARENTS, range(5)], dtype=np.int64),
        J=joints,
        eyelids=np.stack([person.carrier @ person.actions[blink] for blink in blinks]),
        masks=_masks(person),
        mediapipe=mediapipe,
        ibug68=Landmarks(mediapipe.face_index[list(IBUG68)], mediapipe.barycentric[list(IBUG68)]),
        contour=_contour(person, mediapipe),
        open_face_index=person.mesh.open_face_index,
        open_barycentric=person.mesh.open_barycentric,
        open_shape=person.shape,
    )


@lru_cache(maxsize=4)
def _layout_without_jaw(seed: int) -> FlameLayout:
    layout = _layout(seed)
    expressions = _expressions(_person(seed), PARAMETER_ACTIONS, np.random.default_rng([seed, 2]))
    root, neck, jaw, *eyes = layout.weights.T
    return replace(
        layout,
        shapedirs=np.concatenate([layout.shapedirs[..., :SHAPES], expressions], axis=2),
        weights=np.stack([root, neck + jaw, np.zeros_like(jaw), *eyes], axis=1),
    )


@lru_cache(maxsize=4)
def _person(seed: int) -> _Person:
    rng = np.random.default_rng(seed)
    head = open_head_data()
    shape = PERSON_STRENGTH * rng.normal(size=PERSON_COMPONENTS)
    neutral = head.v_template.double().numpy() + head.shapedirs[..., : len(shape)].double().numpy() @ shape
    rest = SCALE * neutral + OFFSET_M
    mesh = tessellate(head, rng)
    carrier = mesh.carrier(head.faces.numpy(), len(rest))
    actions = SCALE * head.expressiondirs.double().permute(2, 0, 1).numpy()
    return _Person(head, shape, rest, actions, mesh, carrier, carrier @ rest)


def _skinning(person: _Person) -> tuple[np.ndarray, np.ndarray]:
    """Return the skinning weights (V, 5) and the jaw joint (3,).

    The joint is the centre of the turn that opens the mouth, read off the lower teeth, which move as one with
    the jaw; a vertex weighs what its own turn about that centre is of the teeth's.
    """
    move = person.actions[person.head.expression_names.index("jawOpen")]
    bone = person.open_region("lower_teeth")
    turn = align(*(torch.from_numpy(points[bone]) for points in (person.rest, person.rest + move)), scaled=False)
    rotmat, offset = turn.rotmat.numpy(), turn.offset.numpy()
    center = np.linalg.solve((np.eye(3) - rotmat)[1:, 1:], offset[1:])
    before, after = person.rest[:, 1:] - center, (person.rest + move)[:, 1:] - center
    angle = np.arctan2(before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0], (before * after).sum(1))
    jaw = _smoothed(np.clip(angle / np.arctan2(rotmat[2, 1], rotmat[1, 1]), 0, 1), person.head.faces.numpy())
    carried = person.carrier @ np.stack([person.head.lbs_weights[:, 0].double().numpy(), jaw], axis=1)
    root = carried[:, 0]
    weights = np.zeros((len(root), 5))
    weights[:, 0], weights[:, 2] = root, np.minimum(carried[:, 1], 1 - root)
    weights[:, 1] = 1 - weights.sum(1)
    for column, name in ((3, "left_eyeball"), (4, "right_eyeball")):
        weights[person.region(name)] = np.eye(5)[column]
    return weights, np.array([0.0, *center])


def _smoothed(values: np.ndarray, faces: np.ndarray, rounds: int = 3) -> np.ndarray:
    """Return values (V,) at the corners of `faces` (F, 3), each replaced by the mean of its triangles' a few times."""
    count = np.bincount(faces.ravel(), minlength=len(values)).clip(1)
    for _ in range(rounds):
        values = np.bincount(faces.ravel(), values[faces].mean(1).repeat(3), minlength=len(values)) / count
    return values


def _joints(person: _Person, jaw: np.ndarray) -> np.ndarray:
    """Return the joints (5, 3); the root lies in the open end of the neck."""
    eyes = [
        sphere_center(torch.from_numpy(person.rest[person.open_region(name)])).double().numpy()
        for name in ("left_eyeball", "right_eyeball")
    ]
    root = person.vertices[person.mesh.neck_ring].mean(0) * (0, 1, 1)
    return np.stack([root, OFFSET_M, jaw, *eyes])


def _regressor(person: _Person, joints: np.ndarray) -> sparse.csc_matrix:
    """Return (5, V) positive weights, rows sum to 1: eyeballs, the neck's end, and belts around the other joints."""
    eyeballs = [person.region(name) for name in ("left_eyeball", "right_eyeball")]
    ring = np.zeros(len(person.vertices), dtype=bool)
    ring[person.mesh.neck_ring] = True
    belts = [~eyeballs[0] & ~eyeballs[1] & (abs(person.vertices[:, 1] - joint[1]) < 0.02) for joint in joints[1:3]]
    regressor = np.zeros((5, len(person.vertices)))
    for row, chosen in enumerate((ring, *belts, *eyeballs)):
        regressor[row, chosen] = _centring_weights(person.vertices[chosen], joints[row])
    return sparse.csc_matrix(regressor)


def _centring_weights(points: np.ndarray, center: np.ndarray) -> np.ndarray:
    """Return the most even positive weights (N,) with sum 1 under which the mean of `points` (N, 3) is `center`.

    Raises:
        ValueError: `center` lies outside the points.

    Source: the weights of largest entropy are exp(a . x); Newton's method finds a.
    """
    arm = (points - center) / np.linalg.norm(points - center, axis=1).max()
    slope = np.zeros(3)
    for _ in range(50):
        weights = np.exp(arm @ slope - (arm @ slope).max())
        weights /= weights.sum()
        mean = weights @ arm
        if np.linalg.norm(mean) < 1e-13:
            return weights
        slope -= np.linalg.solve((weights[:, None] * arm).T @ arm - np.outer(mean, mean), mean)
    raise ValueError("the joint lies outside the vertices that should give it")


def _shapes(person: _Person, rng: np.random.Generator) -> np.ndarray:
    """Return (V, 3, 300): the open head's identity in another basis, then smooth modes that fade out."""
    dirs = SCALE * person.head.shapedirs.double().numpy()
    carried = (person.carrier @ dirs.reshape(len(dirs), -1)).reshape(-1, *dirs.shape[1:])
    for start in range(0, carried.shape[2], MIXED):
        group = carried[..., start : start + MIXED]
        mixing, _ = np.linalg.qr(rng.normal(size=(group.shape[2], group.shape[2])))
        carried[..., start : start + MIXED] = group @ mixing
    amplitude = np.geomspace(3e-4, 3e-5, SHAPES - carried.shape[2])
    return np.concatenate([carried, _smooth_modes(person, amplitude, rng)], axis=2)


def _expressions(person: _Person, left_out: tuple[str, ...], rng: np.random.Generator) -> np.ndarray:
    """Return (V, 3, 100): principal components of random facial actions, then smooth modes that fade out.

    `left_out`: beginnings of the names of actions that take no part.
    """
    chosen = [row for row, name in enumerate(person.head.expression_names) if not name.startswith(left_out)]
    active = rng.random((SAMPLES, len(chosen))) * (rng.random((SAMPLES, len(chosen))) < ACTIVITY)
    offsets = person.actions[chosen].transpose(1, 2, 0)
    moves = (person.carrier @ offsets.reshape(len(offsets), -1)).reshape(-1, len(chosen))
    # The moves' covariance is M C M^T with the actions' C = L L^T: its components are those of M L.
    spread = moves @ np.linalg.cholesky(np.cov(active.T))
    direction, deviation, _ = np.linalg.svd(spread, full_matrices=False)
    components = (direction * deviation).reshape(-1, 3, len(chosen))
    amplitude = np.geomspace(1.5e-4, 3e-5, EXPRESSIONS - len(chosen))
    return np.concatenate([components, _smooth_modes(person, amplitude, rng)], axis=2)


def _smooth_modes(person: _Person, amplitude_m: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return (V, 3, K) offsets of the given root mean square: products of waves along the three axes.

    An eyeball follows its centre, so that it stays round.
    """
    points = person.vertices.copy()
    for name in ("left_eyeball", "right_eyeball"):
        points[person.region(name)] = points[person.region(name)].mean(0)
    wavelength_m, phase = rng.uniform(0.15, 0.5, (3, 3, len(amplitude_m))), rng.random((3, 3, len(amplitude_m)))
    waves = np.sin(2 * np.pi * (points[:, :, None, None] / wavelength_m + phase))
    modes = waves.prod(1)
    return modes * (amplitude_m / np.sqrt((modes**2).sum(1).mean(0)))


def _landmarks(person: _Person) -> Landmarks:
    """Return the open head's MediaPipe landmarks on the mesh."""
    embedding = person.head.landmarks["mediapipe"]
    faces = person.head.faces.numpy()
    corners = person.rest[faces[embedding.face_index.numpy()]]
    points = np.einsum("lk,lkc->lc", embedding.barycentric.double().numpy(), corners)
    facing = normals(person.rest, faces)[embedding.face_index.numpy()]
    facing /= np.linalg.norm(facing, axis=1, keepdims=True)
    return Landmarks(*nearest_points(person.vertices, person.mesh.faces, points, facing))


def _contour(person: _Person, mediapipe: Landmarks) -> Landmarks:
    """Return (79, 17) points of the outline for each yaw.

    Each slides on a line from its place on the jaw to the nose and stops where it lies farthest out in the picture.
    """
    vertices, faces = person.vertices, person.mesh.faces
    still = list(IBUG68[:17])
    corners = vertices[faces[mediapipe.face_index]]
    points = np.einsum("lk,lkc->lc", mediapipe.barycentric, corners)
    start, end = points[still], points[IBUG68[30]]
    way = np.linspace(0.01, 0.6, 60)[:, None, None]
    xy = (start + way * (end - start))[..., :2]
    row, barycentric = front_points(vertices, faces, xy.reshape(-1, 2))
    # At the start the surface may be seen edge-on, where its front is hard to hit; the place itself is known.
    row = np.concatenate([mediapipe.face_index[still], row]).reshape(-1, 17)
    barycentric = np.concatenate([mediapipe.barycentric[still], barycentric]).reshape(-1, 17, 3)
    surface = np.einsum("wnk,wnkc->wnc", barycentric, vertices[faces[row]])
    outward = (start - end)[:, :2]
    yaw = np.deg2rad(YAWS_DEG)[:, None, None]
    across = np.cos(yaw) * surface[..., 0] + np.sin(yaw) * surface[..., 2]
    extent = across * outward[:, 0] + surface[..., 1] * outward[:, 1]
    best = np.where(row >= 0, extent, -np.inf).argmax(1)
    pick = best, np.arange(17)
    return Landmarks(row[pick], barycentric[pick])


def _masks(person: _Person) -> dict[str, np.ndarray]:
    """Return vertex indices by the names of FLAME's masks."""
    same = ("face", "neck", "scalp", "right_eyeball", "left_eyeball", "forehead", "nose", "lips")
    masks = {name: person.region(name) for name in (*same, "right_eye_region", "left_eye_region")}
    masks["eye_region"] = person.region("eye_regions")
    left = person.vertices[:, 0] > 0
    masks["left_ear"], masks["right_ear"] = person.region("ears") & left, person.region("ears") & ~left
    return {name: np.flatnonzero(mask) for name, mask in masks.items()} | {"boundary": np.sort(person.mesh.neck_ring)}


def write_flame_layout(
    path: Path | str, *, chumpy: bool = True, jaw: bool = True, companions: bool = False, seed: int = 0
) -> FlameLayout:
    """Write the model, and beside it what else comes with FLAME.

    Args:
        path: file to write.
        chumpy: write as Python 2 did, with objects of the package chumpy, or else as Python 3 with arrays.
        jaw: as in `make_flame_layout`.
        companions: write `landmark_embedding.npy`, `mediapipe_landmark_embedding.npz`, `FLAME_masks.pkl`,
            `l_eyelid.npy` and `r_eyelid.npy` into the same folder.
        seed: of the person, the mesh and the bases.

    Returns:
        What was written, and the truth about it.
    """
    layout = make_flame_layout(seed, jaw)
    path = Path(path)
    write_model(path, layout, chumpy)
    if companions:
        write_companions(path.parent, layout)
    return layout


def main() -> None:
    """Run as a script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", metavar="OUT.pkl", type=Path)
    parser.add_argument("--companions", action="store_true", help="write the other files of FLAME beside it")
    parser.add_argument("--no-jaw", action="store_true", help="movements of the jaw are expressions")
    options = parser.parse_args()
    layout = write_flame_layout(options.path, jaw=not options.no_jaw, companions=options.companions)
    print(f"{options.path}: {len(layout.v_template)} vertices, {options.path.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
