"""The contract of all runs over many photos: blocks of photos in, rows of a table out.

The local run and workers on other machines use the same sources of rows, so that their tables are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from smirk3d.batch.naming import Job
from smirk3d.batch.prefetch import PhotoResult, failure_reason, reconstruct_batches

if TYPE_CHECKING:
    from smirk3d.estimation.reconstructor import Reconstructor
    from smirk3d.face import Face


@dataclass(frozen=True, eq=False)
class PhotoRows:
    """The rows of one photo, or the reason of a failure.

    Attributes:
        job: The photo.
        rows: One for each face, largest first; empty where the photo failed.
        reason: One line with the reason of a failure; None for a success.
    """

    job: Job
    rows: tuple[Any, ...] = ()
    reason: str | None = None


class RowSource(Protocol):
    """Makes rows of photos; it holds the models, and is made once in each process."""

    def batches(self, blocks: Iterable[Sequence[Job]]) -> Generator[list[PhotoRows], None, None]:
        """Yield the rows of photos, batch by batch and in order; a failure is a result, never an exception.

        Args:
            blocks: The photos, in blocks that are computed together.
        """
        ...

    def close(self) -> None:
        """Free the models."""
        ...


class ReconstructionRows:
    """Rows of reconstructed faces; a `RowSource`.

    Args:
        reconstructor: Detects and reconstructs the faces; closed with this object.
        row_of: Makes a row of the name of an image, the index of a face in it, and the face.
    """

    def __init__(self, reconstructor: Reconstructor, row_of: Callable[[str, int, Face], Any]) -> None:
        self._reconstructor, self._row_of = reconstructor, row_of

    def batches(self, blocks: Iterable[Sequence[Job]]) -> Generator[list[PhotoRows], None, None]:
        """See `RowSource`."""
        with closing(reconstruct_batches(blocks, self._reconstructor)) as batches:
            for batch in batches:
                yield [self._rows(result) for result in batch]

    def close(self) -> None:
        """See `RowSource`."""
        self._reconstructor.close()

    def _rows(self, result: PhotoResult) -> PhotoRows:
        if result.reason is not None:
            return PhotoRows(result.job, reason=result.reason)
        try:
            rows = tuple(self._row_of(result.job.name, k, face) for k, face in enumerate(result.faces))
        except Exception as error:  # one photo never stops the run
            return PhotoRows(result.job, reason=failure_reason(error))
        return PhotoRows(result.job, rows)
