"""A canvas to draw on. Lengths and places are in pixels; the origin is the top left corner, y grows downwards.

Every shape takes a style besides, e.g. ``circle(100, 100, 50, fill="red")``.
"""

import livecode

__all__ = ["circle", "clear", "line", "rect"]


def _draw(shape: str, args: list, style: dict) -> None:
    livecode.send("draw", shape=shape, args=args, **({"style": style} if style else {}))


def circle(x: float, y: float, d: float, **style) -> None:
    """A circle of diameter ``d`` around (x, y)."""
    _draw("circle", [x, y, d], style)


def line(x1: float, y1: float, x2: float, y2: float, **style) -> None:
    """A line from (x1, y1) to (x2, y2)."""
    _draw("line", [x1, y1, x2, y2], style)


def rect(x: float, y: float, w: float, h: float, **style) -> None:
    """A rectangle, ``w`` wide and ``h`` high, with its top left corner at (x, y)."""
    _draw("rect", [x, y, w, h], style)


def clear() -> None:
    """Takes away all that was drawn."""
    _draw("clear", [], {})
