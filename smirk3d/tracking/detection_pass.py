"""The first pass over a video: who is where in each frame, reduced to records on disk.

Decoding, detection and the encoder run beside each other, a thread each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np

from smirk3d.detection.detector import Detection, Detector
from smirk3d.errors import Smirk3dError
from smirk3d.estimation.estimator import Sighting
from smirk3d.media.images import Photo
from smirk3d.media.video import Frame, FrameSource
from smirk3d.tracking.association import Follower
from smirk3d.tracking.detection_loop import DetectorMode, Looker
from smirk3d.tracking.prefetch import ahead
from smirk3d.tracking.record_buffer import Spool
from smirk3d.tracking.shot_boundary import CutFinder
from smirk3d.tracking.track_solver import TrackSolver

READ_AT_ONCE = 8
"""Sightings that are read together."""
PATIENCE_S = 1.0
"""How long nobody else takes the place of a person who is out of sight."""


@dataclass(frozen=True, eq=False)
class Scene:
    """One frame and who is in it. people: A number for each of `found`."""

    frame: Frame
    found: tuple[Detection, ...]
    people: tuple[int, ...]


@dataclass(eq=False)
class Watched:
    """What the first pass found; grows while it runs.

    Attributes:
        spool: A record for each sighting: person, frame, score, box_px, and the solver's `reading`.
        size: (width, height) of the frames. time_s: Of every frame. damage: Why reading ended early, if it did.
    """

    spool: Spool
    size: tuple[int, int] = (0, 0)
    time_s: list[float] = field(default_factory=list)
    damage: str | None = None

    def note_damage(self, reason: str) -> None:
        """Keep why reading ended early."""
        self.damage = reason


def record_type(solver: TrackSolver) -> np.dtype:
    """Return the type of the records of sightings."""
    place = [("person", "i4"), ("frame", "i8"), ("score", "f4"), ("box_px", "f4", 4)]
    return np.dtype([*place, ("reading", solver.dtype)])


def watch(
    source: FrameSource,
    detector: Detector,
    solver: TrackSolver,
    watched: Watched,
    most_faces: int | None = 1,
    *,
    mode: DetectorMode = "follow",
    advance: Callable[[], None] = lambda: None,
) -> None:
    """Look through a video.

    Args:
        source: The video. detector: Finds faces. solver: Reduces them to records.
        watched: Is filled. Damage of the source is noted there, and what came before it is kept.
        most_faces: How many people are followed at a time; None for all that are found.
        mode: See `Looker`. advance: Called after each frame.

    Raises:
        Smirk3dError: Something else than the source fails.
    """
    frames = ahead(undamaged(source.frames(), watched.note_damage))
    seen = ahead(scenes(frames, detector, most_faces, mode))
    waiting: list[tuple[Scene, int]] = []
    with closing(frames), closing(seen):
        for scene in seen:
            height, width = scene.frame.pixels.shape[:2]
            watched.size = (width, height)
            watched.time_s.append(scene.frame.time_s)
            waiting += [(scene, k) for k in range(len(scene.found))]
            if len(waiting) >= READ_AT_ONCE:
                _record(waiting, solver, watched.spool)
                waiting.clear()
            advance()
    _record(waiting, solver, watched.spool)


def undamaged(frames: Iterable[Frame], note: Callable[[str], None]) -> Iterator[Frame]:
    """Yield the frames of a source up to where it is damaged; `note` is told what is wrong there."""
    try:
        yield from frames
    except Smirk3dError as error:
        note(str(error))


def scenes(
    frames: Iterable[Frame], detector: Detector, most_faces: int | None, mode: DetectorMode = "follow"
) -> Iterator[Scene]:
    """Yield each frame with the people to follow in it; `most_faces` and `mode` as in `watch`."""
    is_cut, follow, choose = CutFinder(), Follower(), Chooser(most_faces)
    followed: tuple[Detection, ...] = ()
    with Looker(detector, mode, most_faces) as look:
        for frame in frames:
            cut = is_cut(frame.pixels)
            found = look(frame, cut, followed)
            people = follow(frame.time_s, found, cut)
            chosen = choose(frame.time_s, people, cut)
            kept = [k for k, person in enumerate(people) if person in chosen]
            followed = tuple(found[k] for k in kept)
            yield Scene(frame, followed, tuple(people[k] for k in kept))


class Chooser:
    """Says frame by frame whom to follow: up to `most` people, those followed before first; None for all."""

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._last_s: dict[int, float] = {}

    def __call__(self, time_s: float, people: Sequence[int], is_cut: bool = False) -> list[int]:
        """Return those of a frame to follow; until a cut, who is out of sight keeps the place for `PATIENCE_S`.

        Args:
            time_s: When the frame is shown. people: Those in it, largest first. is_cut: A new scene begins with it.
        """
        kept = {} if is_cut else self._last_s
        self._last_s = {person: last_s for person, last_s in kept.items() if time_s - last_s <= PATIENCE_S}
        for person in people:
            if person in self._last_s or self._most is None or len(self._last_s) < self._most:
                self._last_s[person] = time_s
        return [person for person in people if person in self._last_s]


def _record(waiting: Sequence[tuple[Scene, int]], solver: TrackSolver, spool: Spool) -> None:
    if not waiting:
        return
    photos = {id(scene): Photo(scene.frame.pixels) for scene, _ in waiting}
    sightings: list[Sighting] = [(photos[id(scene)], scene.found[k]) for scene, k in waiting]
    rows = np.zeros(len(waiting), dtype=spool.dtype)
    rows["reading"] = solver.read(sightings)
    for row, (scene, k) in zip(rows, waiting):
        row["person"], row["frame"] = scene.people[k], scene.frame.number
        row["score"], row["box_px"] = scene.found[k].score, scene.found[k].box_px
    spool.append(rows)
