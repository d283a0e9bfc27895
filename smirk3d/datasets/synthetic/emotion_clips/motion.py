"""What a person does in a clip: an emotion that comes and goes, speech, blinks, glances, distractors, head motion."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from smirk3d.datasets.synthetic.emotion_clips.prototypes import random_prototype
from smirk3d.datasets.synthetic.expression_templates import ARKIT_TEMPLATES
from smirk3d.fer.emotions import EMOTIONS
from smirk3d.head.arkit import ARKIT_NAMES

N_FRAMES, RATE_FPS = 32, 8.0
"""Frames of a clip, and frames a second: 4 s."""
HARDNESS: tuple[str, ...] = ("none", "faint", "short", "occluded", "blurred", "long_distractor")
"""Kinds of difficulty; a neutral clip is never faint or short."""
NEUTRAL = EMOTIONS.index("neutral")
KEY_SHARE = 0.5
"""The key expression is where the emotion has at least this share of its peak."""
_PEAK, _FAINT_PEAK = (0.45, 1.0), (0.2, 0.35)
_APEX_S, _SHORT_APEX_S = (0.5, 1.5), (0.1, 0.2)
_RISE_S, _SHORT_RISE_S = (0.2, 0.7), (0.1, 0.2)
_LONG_DISTRACTOR_S, _LONG_APEX_S = (1.4, 2.0), (0.4, 0.7)
_DISTRACTORS = (
    "lips_rolled_in",
    "lip_bite",
    "pressed_lips",
    "kiss",
    "pout",
    "cheeks_blown",
    "chin_raised",
    "yawn",
    "squint",
    "tongue_out",
    "jaw_forward",
    "mouth_left",
    "mouth_right",
    "jaw_left",
    "brow_up_left",
    "brow_up_right",
)
"""Templates that are no expression of an emotion."""
_ACCENTS: tuple[dict[str, float], ...] = (
    {"browInnerUp": 0.5, "browOuterUpLeft": 0.5, "browOuterUpRight": 0.5},
    {"browDownLeft": 0.5, "browDownRight": 0.5},
    {"mouthSmileLeft": 0.35, "mouthSmileRight": 0.35},
    {"eyeSquintLeft": 0.5, "eyeSquintRight": 0.5},
)
"""Movements with which people accompany speech: they share units with emotions, but are brief and weak."""


@dataclass(frozen=True, eq=False)
class ClipMotion:
    """The motion of a clip of T frames, with its ground truth.

    Attributes:
        emotion: Index in `smirk3d.fer.emotions.EMOTIONS`.
        hardness: Index in `HARDNESS`.
        weights: (T, 52) float32 ARKit weights in [0, 1].
        angles_deg: (T, 3) float32 yaw, pitch and roll.
        envelope: (T,) float32 intensity of the emotion in [0, 1]; 0 in neutral clips.
        apex: First and last frame of the apex, fractional; not a number in neutral clips.
        key: First and last frame of the key expression, likewise; see `KEY_SHARE`.
    """

    emotion: int
    hardness: int
    weights: np.ndarray = field(repr=False)
    angles_deg: np.ndarray = field(repr=False)
    envelope: np.ndarray = field(repr=False)
    apex: tuple[float, float] = (np.nan, np.nan)
    key: tuple[float, float] = (np.nan, np.nan)


def random_motion(emotion: int, hardness: int, rng: np.random.Generator) -> ClipMotion:
    """Draw the motion of a clip.

    Args:
        emotion: Index in `EMOTIONS`.
        hardness: Index in `HARDNESS`.
        rng: All randomness.
    """
    kind = HARDNESS[hardness]
    times_s = np.arange(N_FRAMES) / RATE_FPS
    base = _resting(rng) + _speech(times_s, rng) + _blinks(times_s, rng)
    base = np.maximum(base, _glances(times_s, rng))
    pulse = None
    if emotion != NEUTRAL:
        pulse = _emotion_pulse(kind, times_s[-1], rng)
        peak = rng.uniform(*(_FAINT_PEAK if kind == "faint" else _PEAK))
        envelope = peak * pulse.at(times_s) * (1 + 0.05 * np.sin(2 * np.pi * rng.uniform(0.3, 1) * times_s))
        base = base + envelope[:, None] * random_prototype(EMOTIONS[emotion], rng)
    else:
        envelope = np.zeros(N_FRAMES)
    weights = np.maximum(base, _distractors(times_s, kind, pulse, rng)).clip(0, 1).astype(np.float32)
    angles = _head_motion(times_s, rng).astype(np.float32)
    if pulse is None:
        return ClipMotion(emotion, hardness, weights, angles, envelope.astype(np.float32))
    apex, key = (tuple(RATE_FPS * edge for edge in edges) for edges in (pulse.apex_s, pulse.key_s))
    return ClipMotion(emotion, hardness, weights, angles, envelope.astype(np.float32), apex, key)  # type: ignore[arg-type]


@dataclass(frozen=True)
class _Pulse:
    """A movement with onset, apex and offset, all in seconds."""

    start_s: float
    rise_s: float
    hold_s: float
    fall_s: float

    @property
    def apex_s(self) -> tuple[float, float]:
        first = self.start_s + self.rise_s
        return first, first + self.hold_s

    @property
    def key_s(self) -> tuple[float, float]:
        """Where smooth steps reach half of the peak, which is half of the way."""
        return self.start_s + KEY_SHARE * self.rise_s, self.apex_s[1] + (1 - KEY_SHARE) * self.fall_s

    @property
    def end_s(self) -> float:
        return self.apex_s[1] + self.fall_s

    def at(self, times_s: np.ndarray) -> np.ndarray:
        rise = ((times_s - self.start_s) / self.rise_s).clip(0, 1)
        fall = ((self.end_s - times_s) / self.fall_s).clip(0, 1)
        position = np.minimum(rise, fall)
        return position * position * (3 - 2 * position)


def _emotion_pulse(kind: str, duration_s: float, rng: np.random.Generator) -> _Pulse:
    """Draw when the emotion is shown, all of it within the clip."""
    is_short = kind == "short"
    rise_s, fall_s = (rng.uniform(*(_SHORT_RISE_S if is_short else _RISE_S)) for _ in range(2))
    span_s = _SHORT_APEX_S if is_short else _LONG_APEX_S if kind == "long_distractor" else _APEX_S
    hold_s = rng.uniform(*span_s)
    total_s = rise_s + hold_s + fall_s
    if kind == "long_distractor":  # at one end of the clip, so that the distractor has room
        start_s = 0.05 if rng.random() < 0.5 else duration_s - total_s - 0.05
    else:
        start_s = rng.uniform(0, duration_s - total_s)
    return _Pulse(float(start_s), float(rise_s), float(hold_s), float(fall_s))


def _distractors(times_s: np.ndarray, kind: str, emotion: _Pulse | None, rng: np.random.Generator) -> np.ndarray:
    """Return (T, 52): brief movements without an emotion, and a long one where that is the hardness."""
    total = np.zeros((len(times_s), len(ARKIT_NAMES)))
    for _ in range(rng.integers(0, 3)):
        pulse = _Pulse(rng.uniform(0, times_s[-1] - 0.6), 0.15, rng.uniform(0.1, 0.4), 0.2)
        total = np.maximum(total, rng.uniform(0.5, 1) * pulse.at(times_s)[:, None] * _vector(_ACCENTS[rng.integers(4)]))
    duration_s = None
    if kind == "long_distractor":
        duration_s, strength = rng.uniform(*_LONG_DISTRACTOR_S), rng.uniform(0.8, 1)
    elif rng.random() < 0.35:
        duration_s, strength = rng.uniform(0.2, 0.6), rng.uniform(0.4, 0.9)
    if duration_s is None:
        return total
    free = times_s[-1] - duration_s - 0.4
    start_s = rng.uniform(0, free)
    if emotion is not None:  # on the longer side of the emotion
        before, after = emotion.start_s, times_s[-1] - emotion.end_s
        start_s = max(0.0, before - duration_s - 0.4) if before > after else min(emotion.end_s, free)
    pulse = _Pulse(float(start_s), 0.2, float(duration_s), 0.2)
    name = _DISTRACTORS[rng.integers(len(_DISTRACTORS))]
    return np.maximum(total, strength * pulse.at(times_s)[:, None] * _vector(ARKIT_TEMPLATES[name]))


def _resting(rng: np.random.Generator) -> np.ndarray:
    """Return what a face shows all the time, (52,): lids, brows and mouths of resting faces differ."""
    weights = np.zeros(len(ARKIT_NAMES))
    for name in ("eyeSquint", "browDown", "browOuterUp", "mouthFrown", "mouthSmile", "mouthPress"):
        value = 0.2 * max(0.0, rng.uniform(-1, 1))
        for side in ("Left", "Right"):
            weights[ARKIT_NAMES.index(name + side)] = value
    return weights


def _speech(times_s: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return (T, 52): the mouth of a person who talks for a part of the clip, or zeros."""
    weights = np.zeros((len(times_s), len(ARKIT_NAMES)))
    if rng.random() < 0.5:
        return weights
    span_s = rng.uniform(1, 3.5)
    talks = _Pulse(rng.uniform(-1, times_s[-1] - 1), 0.2, span_s, 0.2).at(times_s) * rng.uniform(0.4, 1)
    shapes = {
        "jawOpen": (0.5, 3.5),
        "mouthFunnel": (0.5, 1.6),
        "mouthPucker": (0.4, 1.2),
        "mouthLowerDownLeft": (0.4, 2.7),
        "mouthUpperUpLeft": (0.25, 2.1),
        "mouthPressLeft": (0.3, 1.9),
    }
    for name, (strength, rate_hz) in shapes.items():
        phase = 2 * np.pi * (rate_hz * rng.uniform(0.7, 1.3) * times_s + rng.random())
        curve = strength * talks * np.maximum(0, np.sin(phase + 1.5 * np.sin(2.3 * times_s + 6 * rng.random())))
        for side in {name, name.replace("Left", "Right")}:
            weights[:, ARKIT_NAMES.index(side)] = curve
    return weights


def _blinks(times_s: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    weights = np.zeros((len(times_s), len(ARKIT_NAMES)))
    time_s = rng.uniform(0, 2.5)
    while time_s < times_s[-1]:
        curve = _Pulse(time_s, 0.1, 0.05, 0.15).at(times_s)
        for name in ("eyeBlinkLeft", "eyeBlinkRight"):
            weights[:, ARKIT_NAMES.index(name)] += curve
        time_s += rng.uniform(0.8, 4)
    return weights


def _glances(times_s: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return (T, 52): the gaze, which jumps now and then."""
    weights = np.zeros((len(times_s), len(ARKIT_NAMES)))
    steps = np.cumsum(rng.random(len(times_s)) < 0.08)
    side, height = rng.normal(0, 0.25, (2, steps[-1] + 1))[:, steps].clip(-0.8, 0.8)
    for name, curve in (
        ("eyeLookOutLeft", side),
        ("eyeLookInRight", side),
        ("eyeLookInLeft", -side),
        ("eyeLookOutRight", -side),
        ("eyeLookUpLeft", height),
        ("eyeLookUpRight", height),
        ("eyeLookDownLeft", -height),
        ("eyeLookDownRight", -height),
    ):
        weights[:, ARKIT_NAMES.index(name)] = curve.clip(0, 1)
    return weights


def _head_motion(times_s: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return (T, 3) yaw, pitch and roll in degrees: a base pose and slow swings."""
    base = rng.normal(0, (10, 5, 4)).clip((-30, -15, -12), (30, 15, 12))
    swing = np.abs(rng.normal(0, (4, 3, 2)))
    phase = 2 * np.pi * (rng.uniform(0.1, 0.5, 3) * times_s[:, None] + rng.random(3))
    return base + swing * np.sin(phase)


def _vector(weights: dict[str, float] | object) -> np.ndarray:
    vector = np.zeros(len(ARKIT_NAMES))
    for name, value in dict(weights).items():  # type: ignore[call-overload]
        vector[ARKIT_NAMES.index(name)] = value
    return vector
