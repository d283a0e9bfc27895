"""The appearance of a person from a photo: coefficients of the appearance model, together with the light.

The brightness of skin is tone times relief times a low-order light. The light is fitted robustly, so that glare, cast
shadows, hair and glasses do not count. What a photo cannot tell, the tone apart from the exposure above all, follows
from priors; grey photos get the usual colours of their brightness.
"""

# NumPy's annotations lose the types of products and of clipped arrays.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from smirk3d.deferred import Deferred
from smirk3d.estimation.appearance_points import (
    PhotoPatch,
    PhotoSamples,
    SkinPoints,
    bilinear,
    sample_photo,
    skin_points,
)
from smirk3d.estimation.sex_typical_look import female_look
from smirk3d.estimation.skin_light import SkinLight, fit_light
from smirk3d.face import Face
from smirk3d.render.appearance.appearance_model import supports
from smirk3d.render.appearance.face_appearance import (
    LUMA,
    SKIN_LAB,
    Color,
    FaceAppearance,
    lab_to_srgb,
    skin_tone,
    srgb_to_lab,
)

_MIN_POINTS = 40
"""Visible points of the skin below which nothing is fitted."""
_MIN_HAIR_POINTS = 4
"""Visible points of the hair, of 60, below which it gets a usual colour; photos cut at the forehead show few."""
_TONE_PRIOR = (58.0, 14.0)
"""Mean and standard deviation of the lightness of skin, CIELAB: about 25 to 75, evenly; dark skin is rare in photos
alone."""
_EXPOSURE_STD = 6.0
"""Standard deviation of the brightness of lit skin in photos about its tone, CIELAB lightness."""
_GREY_EXPOSURE_STD = 8.0
"""The same of grey photos, whose contrast is often changed, too; as measured over several photos of a person."""
_GREY_CHROMA = 3.0
"""Photos whose skin has less chroma than this, CIELAB, count as grey."""
_CHROMA_TRUST = 0.65
"""Weight of a photo's hue and chroma of the skin against the usual ones of its lightness."""


def with_appearance(face: Face, pixels: np.ndarray, landmarks_px: np.ndarray) -> Face:
    """Return a face with the appearance that a photo shows; the same face if its head has no appearance model.

    The appearance is fitted at its first use, from a reduced copy of the part of the photo around the face.

    Args:
        face: The face in the photo.
        pixels: (H, W, 3) uint8 sRGB, the photo.
        landmarks_px: (478, 2) detected landmarks of MediaPipe, pixels.
    """
    if not supports(face.head):
        return face
    photo, points = PhotoPatch.of_face(pixels, landmarks_px), landmarks_px.copy()

    def fitted() -> FaceAppearance:
        return fit_appearance(face, photo, points, female_look(photo, points))

    return replace(face, deferred_appearance=Deferred(fitted))


def with_shared_appearance(faces: Sequence[Face]) -> list[Face]:
    """Give faces of one person one appearance: the median of theirs, by the confidence of each face.

    Args:
        faces: Faces of one person.
    """
    found = [(face.appearance, face.confidence) for face in faces if face.appearance is not None]
    if not found:
        return list(faces)
    shared = median_appearance([each for each, _ in found], [weight for _, weight in found])
    return [face.with_appearance(shared) for face in faces]


def median_appearance(appearances: Sequence[FaceAppearance], weights: Sequence[float]) -> FaceAppearance:
    """Return the weighted median of each coefficient.

    Args:
        appearances: At least one.
        weights: Their weights, >= 0.
    """

    def median(values: list[float]) -> float:
        order = np.argsort(values, kind="stable")
        total = np.cumsum(np.array(weights)[order] + 1e-9)
        return values[int(order[np.searchsorted(total, total[-1] / 2)])]

    changes: dict[str, Any] = {}
    for field in fields(FaceAppearance):
        values = [getattr(each, field.name) for each in appearances]
        if isinstance(values[0], tuple):
            changes[field.name] = tuple(median(list(channel)) for channel in zip(*values, strict=True))
        else:
            changes[field.name] = median(values)
    return FaceAppearance(**changes)


def fit_appearance(face: Face, photo: PhotoPatch, landmarks_px: np.ndarray, female: float = 0.0) -> FaceAppearance:
    """Fit an appearance to a photo.

    Args:
        face: The face in the photo, of the open head.
        photo: The photo, or the part of it with the face.
        landmarks_px: (478, 2) detected landmarks of MediaPipe in the photo, pixels.
        female: Sex-typical look, from -1 (male) to 1 (female), see `smirk3d.estimation.sex_typical_look`.

    Returns:
        The appearance; the default one, with the look, where hardly any skin is visible.
    """
    points = skin_points(face.head)
    samples = sample_photo(points, face, photo)
    skin = points.rows["skin"]
    if int(samples.visible[skin].sum()) < _MIN_POINTS:
        return _by_look(FaceAppearance(), female)
    light = fit_light(points, samples, female)
    tone, gain = fit_tone(samples, light, skin)
    return _Features(points, samples, light, tone, gain, female).appearance(photo, landmarks_px)


def fit_tone(samples: PhotoSamples, light: SkinLight, skin: slice) -> tuple[Color, np.ndarray]:
    """Return the tone of the skin, and the factors (3,) from colours of the photo, lit as the face, to albedo."""
    weight = light.weight[skin] + 1e-6
    relative = samples.colors[skin] / light.shading[skin, None].clip(1e-3) * light.level
    seen = np.average(relative, axis=0, weights=weight).clip(0.01, 1)
    lab = srgb_to_lab(seen)
    mean, std = _TONE_PRIOR
    is_colourless = bool(np.hypot(lab[1], lab[2]) <= _GREY_CHROMA)
    trust = std**2 / (std**2 + (_GREY_EXPOSURE_STD if is_colourless else _EXPOSURE_STD) ** 2)
    lightness = float(np.clip(mean + trust * (lab[0] - mean), SKIN_LAB[-1, 0], SKIN_LAB[0, 0]))
    usual = srgb_to_lab(np.array(skin_tone(lightness)))
    tone = usual.copy()
    if not is_colourless:
        # Chroma falls with lightness; strange lights change the hue more than people do.
        observed = lab[1:] * (lightness / max(lab[0], 1.0)) ** 0.5
        tone[1:] += (_CHROMA_TRUST * (observed - usual[1:])).clip(-6, 6)
    color = lab_to_srgb(tone)
    return tuple(color.tolist()), color / seen


def is_grey(colors: np.ndarray) -> bool:
    """Return whether colours (N, 3) are those of a grey photo."""
    return float(np.median(np.ptp(colors, axis=1))) < 0.02


def _by_look(appearance: FaceAppearance, female: float) -> FaceAppearance:
    long = float(female > 0)
    return replace(
        appearance,
        female=float(np.clip(female, -1, 1)),
        hair_long=0.96 * long,
        hair_short=0.9 * (1 - long),
        lashes=0.55 + 0.35 * max(female, 0.0),
    )


@dataclass(frozen=True, eq=False)
class _Features:
    """Reads lips, brows, beard, hair and irises from the samples."""

    points: SkinPoints
    samples: PhotoSamples
    light: SkinLight
    tone: Color
    gain: np.ndarray
    female: float

    def appearance(self, photo: PhotoPatch, landmarks_px: np.ndarray) -> FaceAppearance:
        """Return all coefficients."""
        grey = is_grey(self.samples.colors[self.points.rows["skin"]])
        hair, cover = self._hair(grey)
        contrast = max(1 - float(np.dot(hair, LUMA)) / float(np.dot(self.tone, LUMA)), 0.25)
        beard, moustache = (self._darkness(name) / contrast for name in ("beard", "moustache"))
        male = min(max(0.5 - self.female, 0.0), 1.0)
        width, strength = self._brows(contrast)
        start = FaceAppearance(
            skin=self.tone,
            aged=self._aged(hair),
            lips=self._lips(grey),
            hair=hair,
            brow_width=width,
            brow_strength=strength,
            beard=male * float(np.clip(1.55 * beard - 0.04, 0.12, 0.9)),
            moustache=male * float(np.clip(1.3 * moustache - 0.04, 0.12, 0.9)),
            iris=self._iris(photo, landmarks_px, grey),
        )
        return self._with_hair(_by_look(start, self.female), cover)

    @property
    def _lightness(self) -> float:
        return float(srgb_to_lab(np.array(self.tone))[0])

    def _with_hair(self, appearance: FaceAppearance, cover: float) -> FaceAppearance:
        return replace(appearance, hair_short=appearance.hair_short * cover)

    def _relative(self, name: str, quantile: float = 0.5) -> float | None:
        """Return the brightness of a group relative to plain skin there; None where it is hardly visible."""
        rows = self.points.rows[name]
        seen = self.samples.visible[rows]
        if seen.sum() < 8:
            return None
        brightness = self.samples.colors[rows][seen] @ LUMA
        return float(np.quantile(brightness / self.light.shading[rows][seen].clip(1e-3), quantile))

    def _darkness(self, name: str) -> float:
        """Return how much darker a group is than bare skin there, in [0, 1]."""
        relative = self._relative(name, 0.4)
        if relative is None:
            return 0.05
        rows = self.points.rows[name]
        bare = float(np.median((self.points.relief[0, rows] + self.female * self.points.relief[1, rows]) @ LUMA))
        return float(np.clip(1 - relative / bare, 0, 1))

    def _aged(self, hair: Color) -> float:
        """Return the age by the creases of the skin, and by grey hair."""
        rows = self.points.rows["skin"]
        weight = self.light.weight[rows]
        crease = self.points.relief[2, rows] @ LUMA
        young = (self.points.relief[0, rows] + self.female * self.points.relief[1, rows]) @ LUMA
        relative = self.samples.colors[rows] @ LUMA / self.light.shading[rows].clip(1e-3) - young
        center = np.average(crease, weights=weight + 1e-6)
        crease = crease - center
        amount = float((weight * crease * relative).sum() / ((weight * crease**2).sum() + 0.02))
        lightness, chroma = srgb_to_lab(np.array(hair))[0], float(np.hypot(*srgb_to_lab(np.array(hair))[1:]))
        is_grey_hair = float(np.clip((lightness - 38) / 25, 0, 1) * np.clip((14 - chroma) / 8, 0, 1))
        return float(np.clip(0.1 + 0.5 * amount + 0.4 * is_grey_hair, 0, 1.1))

    def _lips(self, grey: bool) -> Color:
        """Return the change of the lips' colour against those of the relief."""
        rows = self.points.rows["lips"]
        seen = self.samples.visible[rows]
        usual = np.array([0.02, -0.035, -0.02]) * max(self.female, 0.0)
        if seen.sum() < 8:
            return tuple(usual.tolist())
        relief = self.points.relief[0, rows] + self.female * self.points.relief[1, rows]
        colors = self.samples.colors[rows][seen] * (self.light.level / self.light.shading[rows][seen, None].clip(1e-3))
        change = np.median(colors * self.gain - np.array(self.tone) * relief[seen], axis=0)
        darker = float(change @ LUMA)
        redder = 0.0 if grey else max(float(change[0] - change[1:].mean()), -0.02)
        change = 0.6 * darker + 0.6 * redder * np.array([0.5, -0.35, -0.15])
        return tuple((change + usual).clip(-0.16, 0.08).tolist())

    def _brows(self, contrast: float) -> tuple[float, float]:
        """Return width and opacity of the brows."""
        core, edge = self._relative("brows", 0.3), self._relative("brow_edges", 0.5)
        if core is None or edge is None:
            return 0.5 - 0.25 * self.female, 0.75
        depth, spread = 1 - core, 1 - edge
        width = float(np.clip(0.42 - 0.22 * self.female + 0.9 * (spread - 0.12), 0.0, 0.9))
        # Set by the darkness of drawn brows against those of 24 photos of people of both sexes.
        strength = (0.25 + 1.05 * depth / contrast) * (1 - 0.35 * width)
        return width, float(np.clip(strength, 0.25, 1.0))

    def _hair(self, grey: bool) -> tuple[Color, float]:
        """Return the colour of the hair, and how much of the head it covers."""
        dark = (
            np.array([0.13, 0.095, 0.07]) if srgb_to_lab(np.array(self.tone))[0] > 45 else np.array([0.07, 0.055, 0.05])
        )
        groups = [each for each in (self._seen("hair"), self._seen("crown")) if len(each) >= _MIN_HAIR_POINTS]
        if not groups:
            return tuple(dark.tolist()), 1.0
        cover = self._cover(groups[0]) if self.female < 0.3 else 1.0
        # Where hair recedes, its line shows skin; where it shines, the crown does most: the darker one is hair.
        colors = min(groups, key=lambda each: float(np.median(each @ LUMA)))
        brightness = colors @ LUMA
        light = self._blondness(np.median(colors, axis=0))
        # Shine makes dark hair grey; the darker part shows its own colour.
        own = colors[brightness <= np.quantile(brightness, 0.4 + 0.6 * light)]
        color = np.median(own, axis=0) * self.gain
        if self._lightness < 50:  # shine on dark hair, unless it is far brighter than the skin
            trust = float(np.clip((float(color @ LUMA) / float(np.dot(self.tone, LUMA)) - 1.5) / 0.6, 0, 1))
            color = trust * color + (1 - trust) * np.minimum(color, 1.3 * dark)
        if grey:
            luma = float(color @ LUMA)
            # Dark hair is brown, light hair in grey photos may be blond or grey.
            color = luma * (np.array([1.18, 0.98, 0.80]) if luma < 0.45 else np.array([1.06, 1.0, 0.9]))
        color = ((0.85 + 0.1 * light) * color).clip(0.03, 0.75)
        usual = 0.25 - 0.15 * light
        return tuple(((1 - usual) * color + usual * dark).tolist()), cover

    def _blondness(self, color: np.ndarray) -> float:
        """Return how surely a photo's colour (3,) is that of light hair, not of shine, which is grey; in [0, 1]."""
        lightness, *chroma = srgb_to_lab(color * self.gain).tolist()
        return float(np.clip((lightness - 26) / 10, 0, 1) * np.clip((np.hypot(*chroma) - 6) / 4, 0, 1))

    def _seen(self, name: str) -> np.ndarray:
        """Return the colours (K, 3) of a group that the photo shows."""
        rows = self.points.rows[name]
        return self.samples.colors[rows][self.samples.visible[rows]]

    def _cover(self, colors: np.ndarray) -> float:
        """Return how much of the head hair covers, by its colours (K, 3): less where they are those of the skin."""
        lit = colors * (self.light.level / max(float(np.median(colors @ LUMA)), 1e-3))
        seen = np.array(self.tone) / self.gain
        brightness = float(np.median(colors @ LUMA)) / self.light.level
        same_color = float(np.abs(np.median(lit, axis=0) - seen).max()) / max(float(seen.max()), 1e-3)
        bald = np.clip((brightness - 0.72) / 0.2, 0, 1) * np.clip((0.12 - same_color) / 0.06, 0, 1)
        return float(1 - 0.6 * bald)

    def _iris(self, photo: PhotoPatch, landmarks_px: np.ndarray, grey: bool) -> Color:
        """Return the colour of the irises, between the pupil and the edge, without glints."""
        brown = (
            np.array([0.26, 0.16, 0.09]) if srgb_to_lab(np.array(self.tone))[0] > 52 else np.array([0.15, 0.09, 0.06])
        )
        colors = []
        for center, ring in ((468, slice(469, 473)), (473, slice(474, 478))):
            middle, edge = landmarks_px[center], landmarks_px[ring]
            radius = np.linalg.norm(edge - middle, axis=1).mean()
            if radius * photo.scale.mean() < 2.0:
                continue
            angle = np.radians([-20, 0, 20, 160, 180, 200, 60, 120])
            at = middle + 0.62 * radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
            found = bilinear(photo.pixels, photo.place(at))
            colors.append(found[np.argsort(found @ LUMA)[1:5]])
        if not colors:
            return tuple(brown.tolist())
        color = np.median(np.concatenate(colors), axis=0) * self.gain
        luma = float(color @ LUMA)
        if grey:
            light = float(np.clip((luma - 0.22) / 0.2, 0, 1))
            color = (1 - light) * brown + light * np.array([0.36, 0.42, 0.47])
        # The lids' shadow lies on the irises, and their reflections are grey.
        color = (1.15 * color).clip(0.04, 0.62)
        return tuple((0.8 * color + 0.2 * brown).tolist())
