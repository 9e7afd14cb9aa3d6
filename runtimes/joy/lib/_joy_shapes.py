"""Shapes, which are values: they are made, combined and transformed, and appear with ``show``.

    wheel = circle(r=100) + line(x1=0, y1=0, x2=100, y2=0)
    show(wheel | repeat(12, rotate(30)))

The origin is the middle of the picture, and y grows upwards. A shape is sent as the message
``shape`` of protocol v0.1: its ``tag`` and its attributes are those of SVG, a group has
``children``.
"""

from __future__ import annotations

import livecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = [
    "circle",
    "combine",
    "ellipse",
    "group",
    "line",
    "rectangle",
    "repeat",
    "rotate",
    "scale",
    "show",
    "translate",
]

# Numbers are rounded, since their last digits mean nothing on a screen.
DIGITS = 4
MAX_REPETITIONS = 10_000


class Shape:
    """A shape. It never changes: each operation makes a new one."""

    def __init__(self, tag: str, attributes: dict[str, Any], children: tuple[Shape, ...] = (), transform: str = "") -> None:
        self._tag = tag
        self._attributes = attributes
        self._children = children
        self._transform = transform

    def __add__(self, other: Shape) -> Shape:
        """Both shapes as one."""
        return group(self, other)

    def __or__(self, transformation: Transformation) -> Shape:
        """The shape, transformed."""
        if not isinstance(transformation, Transformation):
            return NotImplemented
        return transformation(self)

    def __repr__(self) -> str:
        return f"<{self._tag}>"

    def _transformed(self, transform: str) -> Shape:
        # The one that is written last is applied first.
        both = f"{transform} {self._transform}" if self._transform else transform
        return Shape(self._tag, self._attributes, self._children, both)

    def _message(self) -> dict[str, Any]:
        message = {"tag": self._tag, **self._attributes}
        if self._transform:
            message["transform"] = self._transform
        if self._children:
            message["children"] = [child._message() for child in self._children]
        return message


class Transformation:
    """Makes a shape of a shape. ``a | b`` is first a and then b."""

    def __init__(self, apply: Callable[[Shape], Shape]) -> None:
        self._apply = apply

    def __call__(self, shape: Shape) -> Shape:
        if not isinstance(shape, Shape):
            raise TypeError(f"only a shape can be transformed, not {shape!r}")
        return self._apply(shape)

    def __or__(self, other: Transformation) -> Transformation:
        if not isinstance(other, Transformation):
            return NotImplemented
        return Transformation(lambda shape: other(self(shape)))


def _number(value: float) -> float:
    """A number as it is sent."""
    if not isinstance(value, (int, float)):
        raise TypeError(f"a number is needed, not {value!r}")
    rounded = round(value, DIGITS)
    return int(rounded) if rounded % 1 == 0 else rounded


def _style(style: dict[str, Any]) -> dict[str, Any]:
    """The attributes of a style: a Python name such as ``stroke_width`` is ``stroke-width`` there."""
    named = {name.rstrip("_").replace("_", "-"): value for name, value in style.items()}
    return {"fill": "none", "stroke": "black", **named}


def _shape(tag: str, places: dict[str, float], style: dict[str, Any]) -> Shape:
    return Shape(tag, {**{name: _number(value) for name, value in places.items()}, **_style(style)})


# Shapes


def circle(x: float = 0, y: float = 0, r: float = 50, **style: Any) -> Shape:
    """A circle of radius ``r`` around (x, y)."""
    return _shape("circle", {"cx": x, "cy": -y, "r": r}, style)


def ellipse(x: float = 0, y: float = 0, w: float = 100, h: float = 50, **style: Any) -> Shape:
    """An ellipse around (x, y), ``w`` wide and ``h`` high."""
    return _shape("ellipse", {"cx": x, "cy": -y, "rx": w / 2, "ry": h / 2}, style)


def rectangle(x: float = 0, y: float = 0, w: float = 100, h: float = 50, **style: Any) -> Shape:
    """A rectangle around (x, y), ``w`` wide and ``h`` high."""
    return _shape("rect", {"x": x - w / 2, "y": -y - h / 2, "width": w, "height": h}, style)


def line(x1: float = -50, y1: float = 0, x2: float = 50, y2: float = 0, **style: Any) -> Shape:
    """A line from (x1, y1) to (x2, y2)."""
    return _shape("line", {"x1": x1, "y1": -y1, "x2": x2, "y2": -y2}, style)


def group(*shapes: Shape) -> Shape:
    """Several shapes as one."""
    for shape in shapes:
        if not isinstance(shape, Shape):
            raise TypeError(f"a group consists of shapes, not of {shape!r}")
    return Shape("g", {}, shapes)


def combine(shapes: list[Shape]) -> Shape:
    """All shapes of a list as one."""
    return group(*shapes)


# Transformations


def translate(x: float = 0, y: float = 0) -> Transformation:
    """Moves a shape to the right by ``x`` and upwards by ``y``."""
    transform = f"translate({_number(x)} {_number(-y)})"
    return Transformation(lambda shape: shape._transformed(transform))


def rotate(angle: float, x: float = 0, y: float = 0) -> Transformation:
    """Rotates a shape about (x, y), counterclockwise, by an angle in degrees."""
    about = f" {_number(x)} {_number(-y)}" if x or y else ""
    transform = f"rotate({_number(-angle)}{about})"
    return Transformation(lambda shape: shape._transformed(transform))


def scale(s: float = 1, x: float | None = None, y: float | None = None) -> Transformation:
    """Makes a shape ``s`` times as large, or ``x`` times as wide and ``y`` times as high."""
    transform = f"scale({_number(s if x is None else x)} {_number(s if y is None else y)})"
    return Transformation(lambda shape: shape._transformed(transform))


def repeat(n: int, transformation: Transformation) -> Transformation:
    """A shape ``n`` times, each one transformed once more than the one before."""
    if not isinstance(n, int) or not 0 <= n <= MAX_REPETITIONS:
        raise ValueError(f"repeat: a whole number from 0 to {MAX_REPETITIONS} is needed, not {n!r}")

    def apply(shape: Shape) -> Shape:
        copies = []
        for _ in range(n):
            copies.append(shape)
            shape = transformation(shape)
        return group(*copies)

    return Transformation(apply)


def show(*shapes: Shape) -> None:
    """Shows shapes on the page."""
    for shape in shapes:
        if not isinstance(shape, Shape):
            raise TypeError(f"show needs shapes, not {shape!r}")
        livecode.send("shape", **shape._message())
