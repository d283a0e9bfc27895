"""Frames of synthetic clips whose people wear the pixels of photos: nearly neutral faces, moved by known weights."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import roma
import torch

from smirk3d.datasets.cached_targets import fitted_targets
from smirk3d.datasets.face_dataset import FaceSet, collate
from smirk3d.datasets.pseudo_targets import TargetTable
from smirk3d.datasets.synthetic.emotion_clips.clip_frames import CROP_PX, CROP_SCALE, ClipFrames
from smirk3d.datasets.synthetic.emotion_clips.motion import ClipMotion
from smirk3d.datasets.synthetic.photo_textured import MAX_RESIDUAL, PHOTO_PX, nearly_neutral
from smirk3d.datasets.synthetic.rendered_faces import fit_camera
from smirk3d.errors import Smirk3dError
from smirk3d.geometry.euler import angles_from_rotation
from smirk3d.head.arkit import resolve_antagonists
from smirk3d.head.landmark_indices import OUTER_EYE_CORNERS
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams
from smirk3d.render.appearance.appearance_texels import AppearanceTexels
from smirk3d.render.appearance.random_face_appearance import random_face_appearance
from smirk3d.render.photo_warp.placed_mesh import fit_residual, place
from smirk3d.render.photo_warp.warped_photo import warp_photo

_MAX_TRIES = 50


class PhotoPeople:
    """People in photos who can be moved; their heads keep the pose of the photo.

    Args:
        head: The open head.
        faces: Photos.
        table: Their fits.

    Raises:
        Smirk3dError: No photo is nearly neutral and fitted well.
    """

    def __init__(self, head: HeadModel, faces: FaceSet, table: TargetTable) -> None:
        self._head, self._faces = head, faces
        self._params, _ = table.of(faces.keys)
        self._photos = nearly_neutral(table, faces.keys)
        if not len(self._photos):
            raise Smirk3dError("no photo is nearly neutral, frontal and fitted; use others, or make targets for them")
        self._texels = AppearanceTexels(head)

    @staticmethod
    def from_folder(head: HeadModel, folder: Path, split: str) -> PhotoPeople:
        """Read the photos of a split of a folder of shards, and their fits, which are made at the first use.

        Raises:
            Smirk3dError: The photos cannot be read or used.
        """
        faces = FaceSet.from_folder(folder, split)
        return PhotoPeople(head, faces, fitted_targets(folder, head))

    @property
    def fingerprint(self) -> str:
        """Digest of photos and fits."""
        digest = hashlib.sha256(repr(self._faces.keys).encode())
        assert self._params.expression is not None
        digest.update(self._params.expression.numpy().tobytes())
        return digest.hexdigest()[:12]

    @torch.no_grad()
    def frames(self, motion: ClipMotion, rng: np.random.Generator) -> ClipFrames:
        """Move a person.

        The weights of a frame are the larger of those of the photo and of the motion.

        Args:
            motion: Expressions; its poses do not count.
            rng: Of the person, and of the look of teeth, tongue and eyes.

        Raises:
            Smirk3dError: No photo is fitted well.
        """
        image, params, residual = self._fitted(rng)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        texels = self._texels.colors(random_face_appearance(generator))
        assert params.expression is not None and params.pose is not None
        weights = resolve_antagonists(torch.from_numpy(motion.weights).maximum(params.expression))
        before = place(self._head, params, residual)
        pixels, points_px = [], []
        for row in weights:
            after = place(self._head, params.replace(expression=row[None]), residual)
            picture = warp_photo(image, self._head, before, after, texels, CROP_PX)
            pixels.append((picture * 255).round().byte().permute(1, 2, 0).numpy())
            points_px.append(((after.landmarks_ndc + 1) * CROP_PX / 2).numpy())
        rotmat = roma.rotvec_to_rotmat(params.pose)[0].numpy()
        angles_deg = np.tile(angles_from_rotation(rotmat), (len(pixels), 1)).astype(np.float32)
        rotmats = np.tile(rotmat, (len(pixels), 1, 1))
        return ClipFrames(np.stack(pixels), np.stack(points_px), rotmats, weights.numpy(), angles_deg)

    def _fitted(self, rng: np.random.Generator) -> tuple[torch.Tensor, FaceParams, torch.Tensor]:
        """Return a photo's crop (3, P, P), its parameters, and the residual (478, 2) of its landmarks."""
        for _ in range(_MAX_TRIES):
            photo = int(self._photos[rng.integers(len(self._photos))])
            crop = collate(self._faces, np.array([photo]), CROP_SCALE, PHOTO_PX)
            params = FaceParams(**{name: value[photo : photo + 1] for name, value in self._params.items()})
            params = params.replace(camera=fit_camera(self._head(params).landmarks("mediapipe"), crop.landmarks_ndc))
            residual = fit_residual(self._head, params, crop.landmarks_ndc[0])
            corners = crop.landmarks_ndc[0, list(OUTER_EYE_CORNERS)]
            if residual.square().sum(1).mean().sqrt() <= MAX_RESIDUAL * (corners[0] - corners[1]).norm():
                return crop.image[0], params, residual
        raise Smirk3dError("no photo is fitted well; use others, or make targets for them")
