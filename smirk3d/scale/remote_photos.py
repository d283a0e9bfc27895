"""Photos that are no files: objects in stores, members of archives, and inputs without a photo, with the reason."""

from __future__ import annotations

from dataclasses import dataclass

from smirk3d.assets import printable
from smirk3d.bounded_io import one_line, open_plain
from smirk3d.errors import Smirk3dError
from smirk3d.media.images import EncodedPhoto
from smirk3d.scale.stores import read_object

MAX_PHOTO_BYTES = 256 << 20
"""Largest encoded photo that is fetched into memory."""


@dataclass(frozen=True)
class FilePart:
    """A photo that is an object in a store, or a member of an archive there or on this machine.

    Attributes:
        name: Of the photo.
        store: As `smirk3d.scale.stores.split_address` returns it; "" for an archive on this machine.
        path: Path of the object in its store, or of the archive.
        offset: First byte.
        size: Number of bytes.
    """

    name: str
    store: str
    path: str
    offset: int
    size: int

    def read(self) -> EncodedPhoto:
        """See `smirk3d.batch.naming.RemotePhoto`."""
        if self.size > MAX_PHOTO_BYTES:
            raise Smirk3dError(f"cannot read {printable(self.name)}: it has {self.size} bytes; make it smaller first")
        if self.store:
            return EncodedPhoto(self.name, read_object(self.store, self.path, self.offset, self.size))
        try:
            with open_plain(self.path) as file:
                file.seek(self.offset)
                return EncodedPhoto(self.name, file.read(self.size))
        except (OSError, ValueError) as error:
            raise Smirk3dError(
                f"cannot read {printable(self.name)}: {printable(one_line(error))}; check the archive"
            ) from error


@dataclass(frozen=True)
class MissingPhoto:
    """An input that names no photo; it becomes a row with the reason.

    Attributes:
        name: The input.
        reason: One line with the remedy.
    """

    name: str
    reason: str

    def read(self) -> EncodedPhoto:
        """Raise the reason.

        Raises:
            Smirk3dError: Always.
        """
        raise Smirk3dError(f"{printable(self.name)}: {self.reason}")
