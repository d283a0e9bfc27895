"""`smirk3d video`: animations, tables, curves and an overlay from a video."""

from __future__ import annotations

import os
import re
import unicodedata
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from smirk3d.assets import printable
from smirk3d.cli.console import print_result
from smirk3d.cli.options import EstimatorCommand
from smirk3d.errors import UsageError
from smirk3d.output_lock import locked_file, refuse_links

if TYPE_CHECKING:
    from smirk3d.track import Clip
    from smirk3d.tracking.track_video import TrackOptions

MAX_FACES = 16
"""Largest number of faces in a frame with --faces all."""


@dataclass(frozen=True, kw_only=True)
class Video(EstimatorCommand):
    """Track the heads in a video: animated meshes, Live Link and other tables, curves and an overlay."""

    input: Annotated[Positional[str], arg(metavar="VIDEO|FOLDER|N")]
    """A video file, a folder of frames, or with --live the number of a webcam ("-" is webcam 0)."""
    out: Annotated[str, arg(metavar="DIR")]
    """Folder for the results; created where missing."""
    faces: Annotated[Literal["all"] | int, arg(metavar="N|all")] = 1
    """Largest number of persons that are tracked at a time; each has its own track."""
    detector: Literal["follow", "image", "video"] = "follow"
    """follow: around the faces of the last frame; image: each frame by itself; video: MediaPipe's mode, one face."""
    smooth: Annotated[float, arg(metavar="STRENGTH")] = 1.0
    """Strength of the temporal smoothing, 0 to 10; 0 keeps the raw estimates, 0.5 to 2 is sensible."""
    max_gap: Annotated[float, arg(metavar="SECONDS")] = 0.5
    """Longest time without a detection that is interpolated; longer gaps stay empty."""
    calibrate: Literal["auto", "none", "rest", "neutral", "range"] = "auto"
    """rest: takes off the resting face, what lids, brows and mouth show in the most neutral frames, also by auto unless
    --neutral or --live is given; neutral: all weights are 0 for the person's neutral face; range: also blinks are 1 for
    closed eyes."""
    trim: bool = False
    """Leave out the frames before the first and after the last detection, instead of rows without values."""
    fps: Annotated[float | None, arg(metavar="RATE")] = None
    """Frames a second of a folder of frames (25 by default), or requested of a webcam."""
    usd: bool = False
    """Also write the animations as USD, for Houdini, Maya, Omniverse and Unreal; needs usd-core."""
    livelink_blanks: bool = False
    """Leave frames without a face empty in the Live Link table; by default they hold the last pose, as Unreal needs."""
    no_overlay: bool = False
    """Do not write the overlay video, which takes about as long as everything else."""
    live: bool = False
    """Track frames as they arrive, until Ctrl-C: causal smoothing, no overlay; for webcams."""

    def run(self) -> int:
        """Track the video and write the files; return 1 where some of it could not be read."""
        options, stem = self._track_options(), self._stem()
        from smirk3d.media.video import AnimatedWebp, VideoFile, open_source
        from smirk3d.tracking.run import VideoOptions, run_video, write_usd

        source = open_source(self.input, self.fps)
        if self.fps is not None and isinstance(source, VideoFile | AnimatedWebp):
            raise UsageError(f"--fps {self.fps:g}: {printable(self.input)} has times of its own; leave it out")
        if self.usd:  # a missing package should be reported before the work, not after it
            from smirk3d.export.usd import load_usd

            load_usd()
        out_dir = Path(self.out)
        with (
            closing(self.reconstructor(self._max_detected_faces())) as reconstructor,
            locked_file(out_dir / f"{stem}.glb"),
        ):
            refuse_links(out_dir, stem)
            if self.live:
                from smirk3d.tracking.live import run_live

                clip = run_live(source, out_dir, stem, reconstructor, options, blank_lost=self.livelink_blanks)
                if self.usd:
                    write_usd(clip, out_dir, stem)
            else:
                overlay, blank_lost = not self.no_overlay, self.livelink_blanks
                outputs = VideoOptions(options, overlay=overlay, usd=self.usd, blank_lost=blank_lost)
                clip = run_video(source, out_dir, stem, reconstructor, outputs)
        print_result(_summary_line(clip, out_dir, stem))
        return 1 if clip.losses else 0

    def _stem(self) -> str:
        """Return the stem of the names of the files."""
        from smirk3d.media.video import webcam_number

        if webcam_number(self.input) is not None:
            if not self.live:
                raise UsageError(f"{printable(self.input)}: a webcam never ends; add --live")
            return "webcam"
        path = Path(self.input)
        # In decomposed Unicode an umlaut is a letter and a mark, and the mark alone is no word character.
        name = unicodedata.normalize("NFC", os.path.basename(os.path.abspath(path)) if path.is_dir() else path.stem)
        return re.sub(r"[^\w.-]+", "_", name) or "clip"

    def _max_detected_faces(self) -> int | None:
        """Return the largest number of faces that are detected in a frame; None for the detector's default."""
        return MAX_FACES if self.faces == "all" else None if self.faces < 4 else self.faces

    def _track_options(self) -> TrackOptions:
        if isinstance(self.faces, int) and self.faces < 1:
            raise UsageError(f"--faces {self.faces}: must be 1 or more, or all")
        if self.detector == "video" and self.faces != 1:
            raise UsageError("--detector video: follows one person; leave --faces or --detector out")
        if not 0 <= self.smooth <= 10:
            raise UsageError(f"--smooth {self.smooth:g}: must be from 0 to 10")
        if not 0 <= self.max_gap < float("inf"):
            raise UsageError(f"--max-gap {self.max_gap:g}: must be 0 or more seconds")
        if self.fps is not None and not 0 < self.fps <= 1000:
            raise UsageError(f"--fps {self.fps:g}: must be from 0 to 1000 frames a second")
        calibrate = self.calibrate
        if calibrate == "auto":
            calibrate = "none" if self.live or self.neutral is not None else "rest"
        if self.live and calibrate != "none":
            raise UsageError(f"--calibrate {self.calibrate}: takes the whole video; leave out --live")
        from smirk3d.tracking.track_video import TrackOptions
        from smirk3d.tracking.whittaker_smoother import SmoothConfig

        return TrackOptions(
            max_faces=None if self.faces == "all" else self.faces,
            smooth=SmoothConfig(self.smooth),
            max_gap_s=self.max_gap,
            calibrate=calibrate,
            detector=self.detector,
            trim=self.trim,
        )


def _summary_line(clip: Clip, out_dir: Path, stem: str) -> str:
    seen = sum(int((track.status == 0).sum()) for track in clip.tracks)
    counts = f"frames: {clip.n_frames}; tracks: {len(clip.tracks)}; faces seen: {seen}"
    return f"{counts}; {out_dir / stem}.glb and others beside it"
