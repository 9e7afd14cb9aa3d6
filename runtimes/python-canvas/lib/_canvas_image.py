"""Encodes pictures for the canvas. Imported when the first picture is drawn."""

from __future__ import annotations

import hashlib
import os
from base64 import b64encode
from typing import Any

MAX_IMAGE_BYTES = 3 * 1024 * 1024 - 4096  # the base64 form must fit into a message
SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"<svg": "image/svg+xml",
    b"<?xml": "image/svg+xml",
}

_known: dict[Any, tuple[str, str]] = {}  # from path or bytes, so that a picture is read once


def address(picture: Any) -> tuple[str, str]:
    """The picture's short name, a digest of its contents, and its ``data:`` address."""
    if isinstance(picture, os.PathLike):
        picture = os.fspath(picture)
    if isinstance(picture, (bytearray, memoryview)):
        picture = bytes(picture)
    if not isinstance(picture, (str, bytes)):
        raise TypeError(f"image: a path, bytes or a data: address is needed, not {picture!r}")
    if picture not in _known:
        source = _address(picture)
        _known[picture] = hashlib.sha256(source.encode()).hexdigest()[:16], source
    return _known[picture]


def _address(picture: str | bytes) -> str:
    if isinstance(picture, str):
        if picture.startswith("data:image/"):
            return picture
        if "://" in picture:
            raise ValueError(f"image: {picture[:80]!r} is elsewhere; only files and data: addresses can be drawn")
        with open(picture, "rb") as file:
            picture = file.read(MAX_IMAGE_BYTES + 1)
    if len(picture) > MAX_IMAGE_BYTES:
        raise ValueError(f"image: the picture has more than {MAX_IMAGE_BYTES} bytes; make it smaller")
    return f"data:{_mimetype(picture)};base64,{b64encode(picture).decode()}"


def _mimetype(data: bytes) -> str:
    for signature, mimetype in SIGNATURES.items():
        if data.startswith(signature):
            return mimetype
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    raise ValueError(f"image: this is no PNG, JPEG, GIF, WebP or SVG; it starts with {data[:8]!r}")
