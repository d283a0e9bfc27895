"""The folder of a run's results, on this machine or in a store; a file there is whole or absent."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smirk3d.assets import atomic_path, make_folder, printable
from smirk3d.bounded_io import one_line
from smirk3d.errors import Smirk3dError
from smirk3d.output_lock import locked_folder
from smirk3d.scale.stores import arrow_file_systems, is_stored, open_store, split_address, store_error


@dataclass(frozen=True)
class ResultFolder:
    """A folder without folders in it; it can be sent to other processes.

    Attributes:
        address: `s3://bucket/prefix`, or a path on this machine.
    """

    address: str

    def __str__(self) -> str:
        return self.address

    def locked(self) -> AbstractContextManager[None]:
        """Hold a folder of this machine against other runs and create it; stores have no locks."""
        return nullcontext() if is_stored(self.address) else locked_folder(Path(self.address))

    def names(self) -> list[str]:
        """Return the names of the files, sorted; without hidden ones.

        Raises:
            Smirk3dError: The folder cannot be listed.
        """
        file_system, base = self._opened()
        fs = arrow_file_systems()
        try:
            found = file_system.get_file_info(fs.FileSelector(base, allow_not_found=True))
        except Exception as error:
            raise store_error(self.address, error) from error
        files = (each.base_name for each in found if each.type == fs.FileType.File)
        return sorted(name for name in files if not name.startswith("."))

    def open(self, name: str) -> Any:
        """Return a file as one of pyarrow for reading.

        Raises:
            Smirk3dError: It cannot be opened.
        """
        file_system, base = self._opened()
        try:
            return file_system.open_input_file(f"{base}/{name}")
        except Exception as error:
            raise store_error(f"{self.address}/{name}", error) from error

    def read(self, name: str, max_bytes: int) -> bytes:
        """Return the content of a file.

        Raises:
            Smirk3dError: It cannot be read, or is larger.
        """
        with self.open(name) as file:
            if file.size() > max_bytes:
                raise Smirk3dError(f"{printable(self.address)}/{name}: has more than {max_bytes} bytes; remove it")
            return file.read()

    def write(self, name: str, content: bytes) -> None:
        """Write a file; a process that is killed leaves it as it was.

        Raises:
            Smirk3dError: It cannot be written.
        """
        if not is_stored(self.address):
            make_folder(Path(self.address))
            with atomic_path(os.path.join(self.address, name)) as temporary:
                temporary.write_bytes(content)
            return
        file_system, base = self._opened()
        try:
            with file_system.open_output_stream(f"{base}/{name}") as stream:
                stream.write(content)
        except Exception as error:
            reason = printable(one_line(error))
            raise Smirk3dError(f"cannot write {printable(self.address)}/{name}: {reason}; then use --resume") from error

    def delete(self, name: str) -> None:
        """Delete a file.

        Raises:
            Smirk3dError: It cannot be deleted.
        """
        file_system, base = self._opened()
        try:
            file_system.delete_file(f"{base}/{name}")
        except Exception as error:
            raise store_error(f"{self.address}/{name}", error) from error

    def _opened(self) -> tuple[Any, str]:
        """Return pyarrow's file system, and the path of the folder in it without a slash at its end."""
        if not is_stored(self.address):
            return arrow_file_systems().LocalFileSystem(), os.path.abspath(self.address)
        store, path = split_address(self.address)
        file_system, base = open_store(store)
        return file_system, f"{base}/{path}".rstrip("/")
