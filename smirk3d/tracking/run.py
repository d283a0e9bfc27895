"""A run over one video: tracking, and all files about the result."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from smirk3d.errors import Smirk3dError
from smirk3d.media.video import FrameSource
from smirk3d.progress import Progress, frame_progress
from smirk3d.track import Clip, Track
from smirk3d.tracking.track_video import TrackOptions, track_video

if TYPE_CHECKING:
    from smirk3d.estimation.reconstructor import Reconstructor

_Output = tuple[Path, Callable[[], object]]
"""A file, and what writes it."""


@dataclass(frozen=True)
class VideoOptions:
    """Settings of a run.

    Attributes:
        track: Settings of the tracking.
        overlay: Also write the overlay video, which needs a second pass over the source.
        usd: Also write the animations as USD.
        blank_lost: Leave the numbers of lost frames empty in Live Link tables, see `save_livelink`.
    """

    track: TrackOptions = field(default_factory=TrackOptions)
    overlay: bool = True
    usd: bool = False
    blank_lost: bool = False


def run_video(
    source: FrameSource,
    out_dir: Path,
    stem: str,
    reconstructor: Reconstructor,
    options: VideoOptions,
    *,
    open_progress: Callable[[int], Progress] = frame_progress,
) -> Clip:
    """Track the heads in a video and write all files about them.

    Tables and animations are written before the overlay, so that an interruption of the overlay loses nothing else.

    Args:
        source: The video.
        out_dir: An existing folder.
        stem: Start of the names of the files.
        reconstructor: Its detector and its estimator are used.
        options: Settings of the run.
        open_progress: Returns the progress display of a pass for a number of frames, 0 where it is unknown.

    Returns:
        The tracks; `losses` are those of both passes.

    Raises:
        NoFaceError: There is no face in the video.
        Smirk3dError: The video cannot be read, or a file cannot be written.
    """
    with open_progress(source.info.n_frames or 0) as display:
        clip = track_video(source, reconstructor, options.track, advance=display.advance)
        show_notes([*clip.losses, *clip.notes], display)
    write_clip(clip, out_dir, stem, blank_lost=options.blank_lost)
    if options.usd:
        write_usd(clip, out_dir, stem)
    if not options.overlay:
        return clip
    from smirk3d.tracking.overlay_video import write_overlay

    missing: list[str] = []
    with open_progress(clip.n_frames) as display:

        def note(text: str) -> None:
            missing.append(text)
            show_notes([text], display)

        write_overlay(clip, source, out_dir / f"{stem}_overlay.mp4", advance=display.advance, note=note)
    return replace(clip, losses=(*clip.losses, *missing))


def show_notes(notes: Iterable[str], display: Progress) -> None:
    """Show notes to the user, one a line."""
    for note in notes:
        display.note(f"smirk3d: {note}")


def write_clip(clip: Clip, out_dir: Path, stem: str, *, blank_lost: bool = False) -> list[Path]:
    """Write the tables, arrays, animations and curves of a clip.

    One table holds all tracks. The other files of the first track are named `<stem>…`, those of track k `<stem>_k…`.

    Args:
        clip: The tracks.
        out_dir: An existing folder.
        stem: Start of the names of the files.
        blank_lost: Leave the numbers of lost frames empty in Live Link tables, see `save_livelink`.

    Returns:
        The paths of the files.

    Raises:
        Smirk3dError: A file cannot be written; the others are there.
    """
    from smirk3d.export.tables.track_table import save_track_npz, write_track_table

    tables = [out_dir / f"{stem}.csv"] + ([out_dir / f"{stem}.parquet"] if _has_pyarrow() else [])
    outputs: list[_Output] = [(path, partial(write_track_table, clip.tracks, path)) for path in tables]
    for track in clip.tracks:
        path = out_dir / f"{_track_stem(stem, track)}.npz"
        outputs += [(path, partial(save_track_npz, track, path)), *_animations(track, out_dir, stem, blank_lost)]
    _write_all(outputs)
    return [path for path, _ in outputs]


def _write_all(outputs: Sequence[_Output]) -> None:
    """Write all files that can be written, so that a full disk costs the large ones only; then report the others."""
    errors: list[Smirk3dError] = []
    for _, write in outputs:
        try:
            write()
        except Smirk3dError as error:
            errors.append(error)
    if len(errors) > 1:
        raise Smirk3dError(f"{errors[0]} ({len(errors)} of {len(outputs)} files are missing)") from errors[0]
    if errors:
        raise errors[0]


def write_usd(clip: Clip, out_dir: Path, stem: str) -> list[Path]:
    """Write the animations of all tracks as USD, beside the files of `write_clip`.

    Args:
        clip: The tracks.
        out_dir: An existing folder.
        stem: Start of the names of the files.

    Returns:
        The paths of the files.

    Raises:
        Smirk3dError: usd-core is not installed, or a file cannot be written.
    """
    from smirk3d.export.usd import save_usd

    return [path for track in clip.tracks for path in save_usd(track, out_dir / f"{_track_stem(stem, track)}.usdc")]


def _track_stem(stem: str, track: Track) -> str:
    return stem if track.number == 0 else f"{stem}_{track.number}"


def _animations(track: Track, out_dir: Path, stem: str, blank_lost: bool) -> list[_Output]:
    """Return the files of a track as glTF animation, Live Link table and plot of its curves."""
    from smirk3d.export.gltf.animation import save_animation
    from smirk3d.export.tables.livelink import save_livelink
    from smirk3d.viz.curves import save_curves

    own = _track_stem(stem, track)
    animation, livelink, curves = (out_dir / f"{own}{ending}" for ending in (".glb", "_livelink.csv", "_curves.png"))
    return [
        (animation, partial(save_animation, track, animation)),
        (livelink, partial(save_livelink, track, livelink, blank_lost=blank_lost)),
        (curves, partial(save_curves, track, curves)),
    ]


def _has_pyarrow() -> bool:
    from importlib.util import find_spec

    return find_spec("pyarrow") is not None
