"""Completion of FLAME models: landmarks detected on renders, regions and eyelids transferred from the open head."""

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

TRANSFER_VERSION = "2"
"""To be raised whenever the same files give another completed head."""
SURFACE_REGIONS = ("face", "lips", "nose", "forehead", "eye_regions", "left_eye_region", "right_eye_region")
"""Regions of the skin among the landmarks, where the registration brings the two surfaces close together."""
OUTER_REGIONS = ("ears", "neck", "scalp")
"""Regions outside of the landmarks, where the registration extrapolates."""
TRANSFERRED_REGIONS = SURFACE_REGIONS + OUTER_REGIONS
MAX_SURFACE_DISTANCE_M = 0.005
"""Among the landmarks, vertices farther than this from the open head's skin belong to another layer: socket or
mouth."""
EYELID_FADE_END_M = 0.015
"""Eyelid offsets fade to zero between `MAX_SURFACE_DISTANCE_M` and this distance of the two surfaces."""
MIDLINE_FADE_M = 0.01
"""Eyelid offsets of one side fade to zero over this distance from the midline."""
FACE_ABOVE_EYES, FACE_BELOW_EYES, FACE_BEHIND_EYES = 1.0, 2.0, 0.5
"""Extent of the face around the eyes, in units of the distance between the eyes."""


def transfer_annotations(
    data: HeadData,
    detector: Detector,
    report: Callable[[str], None] = lambda message: None,
    points: MediapipePoints | None = None,
) -> HeadData:
    """Return a head with all annotations that reconstruction and rendering need.

    Existing annotations are kept: "ibug68", contour, regions, eyelids, `mirror_vertices`. `meta` records the origin of
    each.

    Args:
        data: A head as `read_flame` returns it.
        detector: Detects landmarks on renders of the head.
        report: Receives one line of text before each step.
        points: Known embeddings of some MediaPipe landmarks; they replace the automatic ones.

    Raises:
        Smirk3dError: The detector finds no face on renders of the head.
    """
    data = _with_landmarks(data, detector, report, points)
    if data.eyelid_dirs is None or not set(TRANSFERRED_REGIONS) <= data.regions.keys():
        report("transferring regions and eyelids from the open head")
        data = _with_transferred_parts(open_head_data(), data)
    return data


def _with_landmarks(
    data: HeadData, detector: Detector, report: Callable[[str], None], points: MediapipePoints | None
) -> HeadData:
    with_face = data
    if "face" not in data.regions:
        # The renders are framed on this region.
        with_face = replace(data, regions=data.regions | {"face": _approximate_face(data)})
    automatic = embed_landmarks(with_face, detector, report=report).landmarks
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
    """Return an approximate face region (V,) bool from the positions of the eyes."""
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
    correspondence = register_surfaces(source, data)
    meta = dict(data.meta)
    regions = _transferred_regions(source, data, correspondence)
    missing = {name: mask for name, mask in regions.items() if name not in data.regions}
    if missing:
        which = "" if len(missing) == len(regions) else f" ({', '.join(missing)})"
        own = f"{meta['regions']}; " if "regions" in meta else ""
        meta["regions"] = f"{own}transferred from the open head{which}"
    eyelid_dirs = data.eyelid_dirs
    if eyelid_dirs is None:
        eyelid_dirs = _transferred_eyelids(source, data, correspondence)
        meta["eyelids"] = "transferred from the open head"
    return replace(data, regions=data.regions | missing, eyelid_dirs=eyelid_dirs, meta=meta)


def _transferred_regions(source: HeadData, data: HeadData, correspondence: Correspondence) -> dict[str, Tensor]:
    skin = ~_eyeballs(data)
    outer = skin & (correspondence.distance_m < MAX_SURFACE_DISTANCE_M)
    masks = {name: correspondence.transfer_mask(source.regions[name], source.faces) for name in TRANSFERRED_REGIONS}
    return {name: mask & (outer if name in SURFACE_REGIONS else skin) for name, mask in masks.items()}


def _transferred_eyelids(source: HeadData, data: HeadData, correspondence: Correspondence) -> Tensor:
    """Return the offsets (V, 3, 2) in metres of the left and the right eyelid."""
    if source.eyelid_dirs is None:
        raise ValueError(f"head {source.name!r} has no eyelids to transfer")
    transferred = correspondence.transfer(source.eyelid_dirs.permute(2, 0, 1), source.faces)
    # A discontinuity, in depth or at the midline, would tear the skin when the lids close.
    fade = ((EYELID_FADE_END_M - correspondence.distance_m) / (EYELID_FADE_END_M - MAX_SURFACE_DISTANCE_M)).clamp(
        0, 1
    ) * ~_eyeballs(data)
    joints = data.J_regressor @ data.v_template
    middle = joints[[JOINT_NAMES.index("left_eye"), JOINT_NAMES.index("right_eye")], 0].mean()
    to_left = (data.v_template[:, 0] - middle) / MIDLINE_FADE_M
    sides = torch.stack([fade * to_left.clamp(0, 1), fade * (-to_left).clamp(0, 1)])
    return (transferred * sides[..., None]).permute(1, 2, 0).contiguous()


def _eyeballs(data: HeadData) -> Tensor:
    return data.regions.get("eyeballs", torch.zeros(len(data.v_template), dtype=torch.bool))
