"""Paints the items of a tkinter canvas with draw messages.

Items can change, but a draw message cannot be changed once it is sent.
The lines that turtles leave behind are painted on layer 0, each item once. Turtles and other items
that change often are on layer 1, which is cleared and repainted after each change. Layer 0 is
repainted only if an item on it changes or is removed.
"""

from __future__ import annotations

import time
from typing import Any

import livecode

# Coordinates are sent with two decimal places of a pixel.
DIGITS = 2
# An item that has changed this often on layer 0 moves to layer 1.
CHANGES_UNTIL_MOVING = 3
# Upper bounds for a program that moves its turtles without pausing. A window would slow it down,
# too.
MAX_CHANGES_A_SECOND = 120
MAX_BYTES_A_SECOND = 1_000_000


class Item:
    """An item of the canvas: a polygon, line, text or image."""

    def __init__(self, kind: str, painter: Painter) -> None:
        self.kind = kind
        self.coords: tuple[float, ...] = ()
        self.options: dict[str, Any] = {}
        self.bindings: dict[str, list[Any]] = {}
        self.shift = (0.0, 0.0)  # from coordinates of its canvas to those of the page
        self.height = 0  # order of the items, the uppermost has the greatest
        self.is_moving = False
        # The options, coordinates and shift that are on layer 0, if it is painted there.
        self.painted: tuple[dict[str, Any], tuple[float, ...], tuple[float, float]] | None = None
        self._painter = painter
        self._changes = 0

    def set_coords(self, coords: tuple[float, ...]) -> None:
        if coords != self.coords:
            self.coords = coords
            self._painter.changed.add(self)

    def set_options(self, options: dict[str, Any]) -> None:
        if any(self.options.get(name) != value for name, value in options.items()):
            self.options = {**self.options, **options}
            self._painter.changed.add(self)

    def count_change(self) -> None:
        """Counts that layer 0 must be repainted because this item has changed."""
        self._changes += 1
        if self._changes >= CHANGES_UNTIL_MOVING and not self.is_moving:
            self.is_moving = True
            self._painter.changed.add(self)

    def is_visible(self) -> bool:
        if self.kind == "polygon":
            return bool(self.options.get("fill") or self.options.get("outline")) and len(set(self.coords)) > 1
        if self.kind == "image":
            return bool(self.options.get("image", (b"",))[0])
        return bool(self.options.get("fill")) and len(self.coords) >= 2

    def holds(self, x: float, y: float, box: Any) -> bool:
        """Whether the point is on the item. ``box`` is the item's bounding box."""
        if self.kind != "polygon":
            near = float(self.options.get("width", 1)) / 2 if self.kind == "line" else 0.0
            if not (box[0] - near <= x <= box[2] + near and box[1] - near <= y <= box[3] + near):
                return False
            return self.kind != "line" or self._is_near_line(x, y, max(near, 1.0))
        is_inside = False
        xs, ys = self.coords[0::2], self.coords[1::2]
        for at in range(len(xs)):
            x1, y1, x2, y2 = xs[at - 1], ys[at - 1], xs[at], ys[at]
            if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
                is_inside = not is_inside
        return is_inside

    def _is_near_line(self, x: float, y: float, near: float) -> bool:
        points = list(zip(self.coords[0::2], self.coords[1::2]))
        for (x1, y1), (x2, y2) in zip(points, points[1:] or points):
            length2 = (x2 - x1) ** 2 + (y2 - y1) ** 2
            part = 0.0 if length2 == 0 else max(0.0, min(1.0, ((x - x1) * (x2 - x1) + (y - y1) * (y2 - y1)) / length2))
            if (x1 + part * (x2 - x1) - x) ** 2 + (y1 + part * (y2 - y1) - y) ** 2 <= near**2:
                return True
        return False

    def extends_painted(self) -> bool:
        """Whether the item is a line that has only grown at its end since it was painted."""
        if self.kind != "line" or self.painted is None:
            return False
        options, coords, shift = self.painted
        return options == self.options and shift == self.shift and self.coords[: len(coords)] == coords

    def shapes(self, after: int = 0) -> list[dict[str, Any]]:
        """The item's draw messages; of a line only those beyond its first `after` coordinates."""
        if not self.is_visible():
            return []
        points = self._points()
        if self.kind == "polygon":
            fill, outline = self.options.get("fill"), self.options.get("outline")
            style = {"fill": fill or "none", "stroke": outline or "none"}
            if outline:
                style["width"] = _number(self.options.get("width", 1))
            return [_shape("polygon", points, style)]
        if self.kind == "line":
            return self._segments(points, max(0, after - 2))
        if self.kind == "text":
            return self._lines_of_text(points)
        source, width, height = self.options["image"]
        from _canvas_image import address

        name, _ = address(source)
        args = [points[0] - _number(width / 2), points[1] - _number(height / 2), width, height]
        return [{**_shape("image", args, {}), "image": name}]

    def _points(self) -> list[float]:
        return [_number(number + self.shift[at % 2]) for at, number in enumerate(self.coords)]

    def _segments(self, points: list[float], begin: int) -> list[dict[str, Any]]:
        colour, width = self.options["fill"], _number(self.options.get("width", 1))
        segments = []
        for at in range(begin, len(points) - 2, 2):
            ends = points[at : at + 4]
            if ends[:2] != ends[2:]:
                segments.append(_shape("line", ends, {"stroke": colour, "width": width}))
        if not segments and begin == 0:
            # A line without length is drawn as a dot of the pen's width.
            segments.append(_shape("circle", [points[0], points[1], width], {"fill": colour, "stroke": "none"}))
        return segments

    def _lines_of_text(self, points: list[float]) -> list[dict[str, Any]]:
        from _turtle_tk import DESCENT_OF_HEIGHT, LINE_OF_HEIGHT

        size = _number(self.options.get("size", 16))
        align = {"sw": "left", "s": "center", "se": "right"}.get(self.options["anchor"], "center")
        style = {"fill": self.options["fill"], "size": size, "font": self.options.get("font", "Arial"), "align": align}
        style.update({name: True for name in ("bold", "italic") if self.options.get(name)})
        lines = str(self.options["text"]).split("\n")
        shapes = []
        for at, words in enumerate(lines):
            above = size * (DESCENT_OF_HEIGHT + LINE_OF_HEIGHT * (len(lines) - 1 - at))
            if words:
                shapes.append(_shape("text", [words, points[0], _number(points[1] - above)], style))
        return shapes


class Painter:
    """Keeps track of what is on the page, and sends what changes it."""

    def __init__(self) -> None:
        self.is_stale = True  # whether layer 0 must be repainted
        self.changed: set[Item] = set()
        self._moving: set[Item] = set()
        self._is_layer_1_stale = False
        self._size: list[float] | None = None
        self._sent_images: set[str] = set()
        self._free_at = 0.0

    def remove(self, item: Item) -> None:
        """Removes an item from the page at the next painting."""
        self.is_stale = self.is_stale or item.painted is not None
        self.changed.discard(item)
        if item in self._moving:
            self._moving.remove(item)
            self._is_layer_1_stale = self._is_layer_1_stale or item.is_visible()

    def paint(self, canvases: list[tuple[tuple[float, float, float, float], str, dict[int, Item]]]) -> None:
        """Sends all changes since the last call. Sends nothing if there are none."""
        if not canvases or not (self.is_stale or self._is_layer_1_stale or self.changed):
            return
        messages: list[dict[str, Any]] = []
        size = [
            _number(max(place[0] + place[2] for place, _, _ in canvases)),
            _number(max(place[1] + place[3] for place, _, _ in canvases)),
        ]
        if size != self._size:
            messages.append(_shape("size", size, {}))
            self._size, self.is_stale, self._is_layer_1_stale = size, True, True
        for item in tuple(self.changed):
            if item.painted is not None and not item.is_moving and not item.extends_painted():
                self.is_stale = True
                item.count_change()
            if item.is_moving:
                self.is_stale = self.is_stale or item.painted is not None
                self._moving.add(item)
                self._is_layer_1_stale = True

        if self.is_stale or self._is_layer_1_stale:
            time.sleep(max(0.0, self._free_at - time.monotonic()))
        if self.is_stale:
            messages.extend(self._backgrounds(canvases))
            for _, _, items in canvases:
                for item in items.values():
                    item.painted = None
                    if not item.is_moving:
                        messages.extend(self._whole(item))
        else:
            messages.extend(self._additions(canvases))
        if self._is_layer_1_stale:
            messages.append({**_shape("clear", [], {}), "layer": 1})
            for item in sorted(self._moving, key=lambda item: item.height):
                messages.extend({**shape, "layer": 1} for shape in item.shapes())
        self.changed.clear()
        self.is_stale = self._is_layer_1_stale = False
        if messages:
            messages.append(_shape("frame", [], {}))
            self._send(messages, canvases)

    def _whole(self, item: Item) -> list[dict[str, Any]]:
        shapes = item.shapes()
        item.painted = (item.options, item.coords, item.shift) if shapes else None
        return shapes

    def _additions(self, canvases: list[Any]) -> list[dict[str, Any]]:
        """The messages for new items on layer 0.

        Items above a new item are painted again, over it.
        """
        messages: list[dict[str, Any]] = []
        new = set()
        for item in self.changed:
            if item.is_moving:
                continue
            if item.painted is not None:
                messages.extend(item.shapes(len(item.painted[1])))
                item.painted = item.options, item.coords, item.shift
            elif item.is_visible():
                new.add(item)
        above: list[Item] = []
        for _, _, items in reversed(canvases):
            for item in reversed(items.values()):
                if not new:
                    break
                if item in new or (item.painted is not None and not item.is_moving):
                    above.append(item)
                new.discard(item)
        for item in reversed(above):
            messages.extend(self._whole(item))
        return messages

    def _backgrounds(self, canvases: list[Any]) -> list[dict[str, Any]]:
        from _turtle_colours import hexadecimal

        if len(canvases) == 1:
            return [_shape("background", [hexadecimal(canvases[0][1])], {})]
        shapes = [_shape("clear", [], {})]
        for place, bg, _ in canvases:
            style = {"fill": hexadecimal(bg), "stroke": "none"}
            shapes.append(_shape("rect", [_number(number) for number in place], style))
        return shapes

    def _send(self, messages: list[dict[str, Any]], canvases: list[Any]) -> None:
        lines = []
        for message in messages:
            name = message.get("image")
            if name is not None and name not in self._sent_images:
                message = {**message, "src": self._source(name, canvases)}
                self._sent_images.add(name)
            lines.append(livecode._line(message))
        whole = b"".join(lines)
        livecode._post(whole)
        self._free_at = time.monotonic() + max(1 / MAX_CHANGES_A_SECOND, len(whole) / MAX_BYTES_A_SECOND)

    def _source(self, name: str, canvases: list[Any]) -> str:
        from _canvas_image import address

        for _, _, items in canvases:
            for item in items.values():
                if item.kind == "image" and item.is_visible() and address(item.options["image"][0])[0] == name:
                    return address(item.options["image"][0])[1]
        raise KeyError(name)


def _shape(shape: str, args: list, style: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"msgtype": "draw", "shape": shape, "args": args}
    if style:
        message["style"] = style
    return message


def _number(number: float) -> float:
    rounded = round(float(number), DIGITS)
    return int(rounded) if rounded % 1 == 0 else rounded
