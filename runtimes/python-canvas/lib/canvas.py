"""A canvas to draw on. Lengths and places are in pixels; the origin is the top left corner, y grows downwards."""

import livecode

__all__ = ["circle", "clear", "line", "rect"]


def _draw(shape, *args):
    livecode.send("draw", shape=shape, args=list(args))


def circle(x, y, d):
    """A circle of diameter ``d`` around (x, y)."""
    _draw("circle", x, y, d)


def line(x1, y1, x2, y2):
    """A line from (x1, y1) to (x2, y2)."""
    _draw("line", x1, y1, x2, y2)


def rect(x, y, w, h):
    """A rectangle, ``w`` wide and ``h`` high, with its top left corner at (x, y)."""
    _draw("rect", x, y, w, h)


def clear():
    """Takes away all that was drawn."""
    _draw("clear")
