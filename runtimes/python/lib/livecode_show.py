"""Converts the values that ``livecode.show`` accepts to messages. Imported at the first call."""

from __future__ import annotations

import math
import os
from typing import Any

import livecode

# Base64 encodes three bytes as four, and the message has some further fields.
MAX_PICTURE_BYTES = (livecode.MAX_MESSAGE_BYTES - 1024) // 4 * 3
MAX_TABLE_ROWS = 1000
MAX_TABLE_COLUMNS = 100
MAX_CELL_CHARACTERS = 1000
SVG_TAG_SEARCH_BYTES = 4096


def show(what: Any, format: str | None) -> None:
    """Sends a picture as an ``image`` message, or a table as a ``table`` message."""
    if format not in (None, "png", "svg"):
        raise ValueError(f'the format is "png" or "svg", not {format!r}')
    if hasattr(what, "columns") and hasattr(what, "itertuples"):
        show_table(what)
    elif hasattr(what, "to_frame") and hasattr(what, "index"):
        show_table(what.to_frame())
    else:
        show_picture(picture(what, format))


def picture(what: Any, format: str | None) -> bytes:
    """The bytes of a picture, from any of the types that are accepted."""
    if isinstance(what, (bytes, bytearray, memoryview)):
        return bytes(what)
    if isinstance(what, (str, os.PathLike)):
        text = os.fspath(what)
        if isinstance(text, str) and text.lstrip().startswith("<"):
            return text.encode()
        with open(what, "rb") as file:
            return file.read(MAX_PICTURE_BYTES + 1)
    if hasattr(what, "get_figure") and not hasattr(what, "savefig"):
        what = what.get_figure()  # the axes that the plot() of pandas returns
    if hasattr(what, "savefig"):
        import io

        buffer = io.BytesIO()
        what.savefig(buffer, format=format or "png")
        return buffer.getvalue()
    for method_format, method in (("svg", "_repr_svg_"), ("png", "_repr_png_")):
        if format in (None, method_format) and callable(getattr(what, method, None)):
            image = getattr(what, method)()
            if image is not None:
                return image.encode() if isinstance(image, str) else bytes(image)
    raise TypeError(
        "only a figure, an image, the bytes or the path of a PNG or SVG, and a DataFrame can be shown, "
        f"not a {type(what).__name__}"
    )


def mimetype(data: bytes) -> str:
    """The MIME type of a picture."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") and b"<svg" in data[:SVG_TAG_SEARCH_BYTES]:
        return "image/svg+xml"
    raise ValueError(f"only PNG and SVG can be shown; this picture starts with {data[:8]!r}")


def show_picture(data: bytes) -> None:
    """Sends a picture."""
    if len(data) > MAX_PICTURE_BYTES:
        raise ValueError(
            f"the picture has more than {MAX_PICTURE_BYTES} bytes, which is the most that can be shown: make it "
            'smaller, e.g. fig.set_dpi(80), or choose format="png" where an SVG has very many points'
        )
    from base64 import b64encode

    livecode.send("image", mimetype=mimetype(data), data=b64encode(data).decode())


def cell(value: Any) -> Any:
    """A cell of a table as JSON: a number, a text, true, false or null."""
    if value is None or value is True or value is False:
        return value
    if isinstance(value, str):
        return value if len(value) <= MAX_CELL_CHARACTERS else value[:MAX_CELL_CHARACTERS] + "…"
    if hasattr(value, "item") and callable(value.item):
        try:
            value = value.item()  # converts a number of numpy
        except ValueError:
            pass
    if isinstance(value, bool) or type(value) is int:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None if math.isnan(value) else str(value)
    text = str(value)
    return None if text in ("NaT", "<NA>") else cell(text)


def show_table(frame: Any) -> None:
    """Sends a DataFrame. Of a large one it sends the beginning and the total size."""
    rows, columns = frame.shape
    shown = frame.iloc[:MAX_TABLE_ROWS, :MAX_TABLE_COLUMNS]
    names = [name if isinstance(name, str) else str(name) for name in shown.columns]
    message: dict[str, Any] = {
        "columns": names,
        "rows": [[cell(value) for value in row] for row in shown.itertuples(index=False, name=None)],
        "index": [cell(value) for value in shown.index],
    }
    # The message of a table with long texts may be too large; then fewer rows are sent.
    while message["rows"] and len(livecode._line({"msgtype": "table", **message})) > livecode.MAX_MESSAGE_BYTES // 2:
        half = len(message["rows"]) // 2
        message["rows"], message["index"] = message["rows"][:half], message["index"][:half]
    if len(message["rows"]) < rows or len(names) < columns:
        message["total_rows"], message["total_columns"] = rows, columns
    livecode.send("table", **message)
