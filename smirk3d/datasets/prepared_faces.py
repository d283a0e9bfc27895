"""From a photo to the faces of it that are kept: detected, filtered, cropped and named; errors become report rows."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from smirk3d.batch.naming import Job
from smirk3d.batch.prefetch import failure_reason
from smirk3d.datasets.fan_contour import FanLandmarks, read_fan
from smirk3d.datasets.fan_network import FaceAlignment, FanInPhoto
from smirk3d.datasets.padded_crop import crop_padded
from smirk3d.datasets.prepare_report import KEPT, NOT_PROCESSED, UNREADABLE, ReportRow, dropped
from smirk3d.datasets.quality import QualityLimits, measure
from smirk3d.datasets.shard_writer import PreparedFace
from smirk3d.datasets.shards import Record
from smirk3d.detection.detector import Detection
from smirk3d.errors import Smirk3dError, UsageError
from smirk3d.export.tables.expressions_csv import table_name

NO_FACE = "no face found"


class FaceDetector(Protocol):
    """A face detector, such as `smirk3d.detection.detector.Detector`."""

    def detect(self, pixels: np.ndarray) -> list[Detection]:
        """Return the faces of a photo (H, W, 3) uint8 RGB, largest first."""
        ...


@dataclass(frozen=True)
class PrepareOptions:
    """Settings of the preparation.

    Attributes:
        shard_size: Faces per shard, at least 1; as many of each split are held in memory. 500 to 5000.
        limits: Quality limits.
        person: "folder": the name of a photo's folder is the person; "none": persons are unknown.
        val_share: Share of the persons (of the photos where persons are unknown) in the split "val", in [0, 1).
        max_side_px: Longest side of a stored image in pixels, at least 1.

    Raises:
        UsageError: A value is out of its range.
    """

    shard_size: int = 1000
    limits: QualityLimits = field(default_factory=QualityLimits)
    person: Literal["folder", "none"] = "none"
    val_share: float = 0.1
    max_side_px: int = 512

    def __post_init__(self) -> None:
        if self.shard_size < 1 or self.max_side_px < 1 or not 0.0 <= self.val_share < 1.0:
            raise UsageError("shard size and picture side must be 1 or more, the validation share in [0, 1)")


@dataclass(frozen=True, eq=False)
class InputImage:
    """A photo or a frame.

    Attributes:
        name: Name in the report, the same in every run.
        stem: Start of the keys of its faces.
        person: Name of the person, "" where unknown.
        pixels: (H, W, 3) uint8 RGB, or the error of reading it.
        fan: FAN's landmarks in it, or FAN; None without contours.
    """

    name: str
    stem: str
    person: str
    pixels: np.ndarray | Exception
    fan: FanLandmarks | FanInPhoto | None = None


def input_image(
    job: Job,
    pixels: np.ndarray | Exception,
    options: PrepareOptions,
    contours: Path | FaceAlignment | None,
    note: Callable[[str], None],
) -> InputImage:
    """Return an image with its names.

    Args:
        job: The photo.
        pixels: (H, W, 3) uint8 RGB, or the error of reading it.
        options: Settings.
        contours: As for `prepare`.
        note: Shows a line about unusable landmarks.
    """
    fan = None
    if isinstance(contours, Path):
        fan = read_fan(contours, job.stem, note)
    elif contours is not None and isinstance(pixels, np.ndarray):
        fan = FanInPhoto(contours, pixels)
    return InputImage(table_name(job.name), job.stem, _person(job, options), pixels, fan)


def _person(job: Job, options: PrepareOptions) -> str:
    return table_name(Path(os.path.abspath(job.path)).parent.name) if options.person == "folder" else ""


def prepared_faces(image: InputImage, detector: FaceDetector, options: PrepareOptions) -> list[PreparedFace]:
    """Detect, filter and crop the faces of an image; errors become rows of the report."""
    pixels = image.pixels
    if isinstance(pixels, Exception):
        # Other errors than ours tell nothing about the file.
        kind = UNREADABLE if isinstance(pixels, Smirk3dError) else NOT_PROCESSED
        return [PreparedFace(ReportRow(image.name, "", dropped(f"{kind} ({failure_reason(pixels)})")))]
    try:
        found = detector.detect(pixels)
        faces = [_face(image, k, pixels, each, detector, options) for k, each in enumerate(found)]
    except Exception as error:
        return [PreparedFace(ReportRow(image.name, "", dropped(f"{NOT_PROCESSED} ({failure_reason(error)})")))]
    return faces or [PreparedFace(ReportRow(image.name, "", dropped(NO_FACE)))]


def _face(
    image: InputImage,
    index: int,
    pixels: np.ndarray,
    found: Detection,
    detector: FaceDetector,
    options: PrepareOptions,
) -> PreparedFace:
    checks_mirror = options.limits.max_mirror_error is not None
    quality = measure(pixels, found, detector.detect if checks_mirror else None)
    facts = {name: f"{value:.5g}" for name, value in asdict(quality).items() if not np.isnan(value)}
    if defect := quality.defect(options.limits):
        return PreparedFace(ReportRow(image.name, str(index), dropped(defect), person=image.person, **facts))
    cut = crop_padded(pixels, found.landmarks_px, options.max_side_px)
    contour_px, contour = (None, "") if image.fan is None else image.fan.contour(found.landmarks_px)
    key = f"{_slug(image.stem)}-{_digest(image.name)}-{index}"
    record = Record(
        key=key,
        jpeg=cut.jpeg,
        landmarks_px=cut.landmarks_px,
        size_px=cut.size_px,
        scores=found.blendshape_scores,
        person=image.person,
        source=image.name,
        depth_px=found.depth * cut.scale,
        contour_px=None if contour_px is None else cut.from_photo(contour_px),
    )
    row = ReportRow(image.name, str(index), KEPT, key=key, person=image.person, **facts)
    return PreparedFace(row, split_of(image.person or image.name, options.val_share), record, contour)


def split_of(name: str, val_share: float) -> str:
    """Return "train" or "val" for a person or photo, by a hash of the name alone."""
    digest = hashlib.sha256(name.encode("utf-8", "backslashreplace")).digest()
    return "val" if int.from_bytes(digest[:8], "big") < val_share * 2**64 else "train"


def _slug(stem: str) -> str:
    """Return the part of a name that fits into a tar archive's short names, without dots."""
    return re.sub(r"[^A-Za-z0-9_]+", "-", stem).strip("-")[-48:]


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "backslashreplace")).hexdigest()[:10]
