"""What a bare head lacks: landmarks from pictures of it, masks and eyelids from the open head."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from smirk3d.authoring.landmark_embedding import embed_landmarks
from smirk3d.detection.detector import Detector
from smirk3d.head.data import JOINT_NAMES, HeadData
from smirk3d.head.flame.companion_files import MediapipePoints
from smirk3d.head.load import open_head_data
from smirk3d.head.retargeting.correspondence import Correspondence, register_surfaces
from smirk3d.params import LandmarkEmbedding

TRANSFER_VERSION = "1"
"""Raise this whenever the same files give another complete head."""
SURFACE_REGIONS = ("face", "lips", "nose", "forehead", "eye_regions", "left_eye_region", "right_eye_region")
"""Regions of the skin between landmarks, where the two heads are brought close together."""
OUTER_REGIONS = ("ears", "neck", "scalp")
TRANSFERRED_REGIONS = SURFACE_REGIONS + OUTER_REGIONS
MAX_SURFACE_DISTANCE_M = 0.005
"""Between landmarks, vertices farther than this from the open head's skin lie in another layer: socket or mouth."""
EYELID_FADE_END_M = 0.015
"""The motion of the eyelids fades out between `MAX_SURFACE_DISTANCE_M` and this distance of the two heads."""
MIDLINE_FADE_M = 0.01
"""The motion of one side's lids fades out over this distance before the middle of the face."""
FACE_ABOVE_EYES, FACE_BELOW_EYES, FACE_BEHIND_EYES = 1.0, 2.0, 0.5
"""Extent of a face, in distances between the eyes."""


def transfer_annotations(
    data: HeadData,
    detector: Detector,
    report: Callable[[str], None] = lambda message: None,
    points: MediapipePoints | None = None,
) -> HeadData:
    """Return a head with all that reconstruction and rendering need, and in `meta` where each part comes from.

    What the head has already stays: "ibug68", contour, regions, eyelids. `mirror_vertices` stays as it is, too.

    Args:
        data: a head as `read_flame` returns it. detector: finds the landmarks in pictures of the head.
        report: receives a line of text before each step.
        points: known places of some MediaPipe points; they replace the automatic ones.

    Raises:
        Smirk3dError: the detector finds no face in pictures of the head.
    """
    data = _with_landmarks(data, detector, report, points)
    if data.eyelid_dirs is None or not set(TRANSFERRED_REGIONS) <= data.regions.keys():
        report("carrying masks and eyelids over from the open head")
        data = _with_transferred_parts(open_head_data(), data)
    return data


def _with_landmarks(
    data: HeadData, detector: Detector, report: Callable[[str], None], points: MediapipePoints | None
) -> HeadData:
    framed = data
    if "face" not in data.regions:
        framed = replace(data, regions=data.regions | {"face": _approximate_face(data)})
    automatic = embed_landmarks(framed, detector, report=report).landmarks
    meta = {"landmarks": "automatic (MediaPipe on renders)"}
    mediapipe = automatic["mediapipe"]
    if points is not None:
        mediapipe = _with_known_points(mediapipe, points)
        meta["landmarks"] += f", {len(points.index)} points from mediapipe_landmark_embedding.npz"
    landmarks = {"ibug68": automatic["ibug68"]} | data.landmarks | {"mediapipe": mediapipe}
    if "ibug68" not in data.landmarks:
        meta["landmarks ibug68"] = "automatic"
    return replace(data, landmarks=landmarks, meta=data.meta | meta)


def _approximate_face(data: HeadData) -> Tensor:
    """Return roughly which vertices (V,) are the face, to fill the pictures with it."""
    joints = data.J_regressor @ data.v_template
    left, right = joints[JOINT_NAMES.index("left_eye")], joints[JOINT_NAMES.index("right_eye")]
    _, up, out = ((data.v_template - (left + right) / 2) / (left - right).norm()).unbind(1)
    return (up > -FACE_BELOW_EYES) & (up < FACE_ABOVE_EYES) & (out > -FACE_BEHIND_EYES)


def _with_known_points(embedding: LandmarkEmbedding, points: MediapipePoints) -> LandmarkEmbedding:
    face_index, barycentric = embedding.face_index.clone(), embedding.barycentric.clone()
    weight = embedding.weight.clone()
    face_index[points.index] = points.embedding.face_index
    barycentric[points.index] = points.embedding.barycentric
    weight[points.index] = points.embedding.weight
    return LandmarkEmbedding(face_index, barycentric, weight, embedding.mirror)


def _with_transferred_parts(source: HeadData, data: HeadData) -> HeadData:
    found = register_surfaces(source, data)
    meta = dict(data.meta)
    regions = _transferred_regions(source, data, found)
    lacking = {name: mask for name, mask in regions.items() if name not in data.regions}
    if lacking:
        which = "" if len(lacking) == len(regions) else f" ({', '.join(lacking)})"
        own = f"{meta['regions']}; " if "regions" in meta else ""
        meta["regions"] = f"{own}carried over from the open head{which}"
    eyelid_dirs = data.eyelid_dirs
    if eyelid_dirs is None:
        eyelid_dirs = _transferred_eyelids(source, data, found)
        meta["eyelids"] = "carried over from the open head"
    return replace(data, regions=data.regions | lacking, eyelid_dirs=eyelid_dirs, meta=meta)


def _transferred_regions(source: HeadData, data: HeadData, found: Correspondence) -> dict[str, Tensor]:
    skin = ~_eyeballs(data)
    outer = skin & (found.distance_m < MAX_SURFACE_DISTANCE_M)
    masks = {name: found.transfer_mask(source.regions[name], source.faces) for name in TRANSFERRED_REGIONS}
    return {name: mask & (outer if name in SURFACE_REGIONS else skin) for name, mask in masks.items()}


def _transferred_eyelids(source: HeadData, data: HeadData, found: Correspondence) -> Tensor:
    """Return the offsets (V, 3, 2) in metres of the left and the right eyelid."""
    if source.eyelid_dirs is None:
        raise ValueError(f"head {source.name!r} has no eyelids to carry over")
    carried = found.transfer(source.eyelid_dirs.permute(2, 0, 1), source.faces)
    # Motion that ended suddenly, in depth or at the middle of the face, would tear the skin.
    share = ((EYELID_FADE_END_M - found.distance_m) / (EYELID_FADE_END_M - MAX_SURFACE_DISTANCE_M)).clamp(
        0, 1
    ) * ~_eyeballs(data)
    joints = data.J_regressor @ data.v_template
    middle = joints[[JOINT_NAMES.index("left_eye"), JOINT_NAMES.index("right_eye")], 0].mean()
    to_left = (data.v_template[:, 0] - middle) / MIDLINE_FADE_M
    sides = torch.stack([share * to_left.clamp(0, 1), share * (-to_left).clamp(0, 1)])
    return (carried * sides[..., None]).permute(1, 2, 0).contiguous()


def _eyeballs(data: HeadData) -> Tensor:
    return data.regions.get("eyeballs", torch.zeros(len(data.v_template), dtype=torch.bool))
