"""Shapes, which are values: they are made, combined and transformed, and appear with ``show``.

    wheel = circle(r=100) + line(x1=0, y1=0, x2=100, y2=0)
    show(wheel | repeat(12, rotate(30)))

The origin is the middle of the picture, and y grows upwards. A shape is sent as the message
``shape`` of protocol v0.1: its ``tag`` and its attributes are those of SVG, a group has
``children``.
"""

from __future__ import annotations

import math

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
# A shape that was transformed in more steps has one matrix in their place, so that the messages of
# `repeat` do not grow with the square of the repetitions. Numbers of a matrix multiply coordinates,
# so that they need more digits.
MAX_STEPS = 8
MATRIX_DIGITS = 8


class _Step:
    """One step of a transformation: its name in SVG, and its numbers."""

    def __init__(self, name: str, *numbers: float) -> None:
        self.name = name
        self.numbers = numbers
        # Wrong numbers are reported where they are given, or where they have become too large.
        self.text = f"{name}({' '.join(self._digits())})"

    def _digits(self) -> list[str]:
        if self.name == "matrix":
            return [str(_number(number, MATRIX_DIGITS)) for number in self.numbers]
        numbers = self.numbers
        if self.name == "rotate" and not any(numbers[1:]):
            numbers = numbers[:1]
        return [str(_number(number)) for number in numbers]

    def after(self, first: _Step) -> _Step | None:
        """Both steps as one, if they are of one kind."""
        if self.name != first.name:
            return None
        if self.name == "translate":
            return _Step("translate", *(a + b for a, b in zip(self.numbers, first.numbers)))
        if self.name == "scale":
            return _Step("scale", *(a * b for a, b in zip(self.numbers, first.numbers)))
        if self.name == "rotate" and self.numbers[1:] == first.numbers[1:]:
            return _Step("rotate", self.numbers[0] + first.numbers[0], *self.numbers[1:])
        if self.name == "matrix":
            return self.matrix_after(first)
        return None

    def matrix_after(self, first: _Step) -> _Step:
        """Both steps as a matrix."""
        a, b, c, d, e, f = self._matrix()
        g, h, i, j, k, l = first._matrix()
        return _Step("matrix", a * g + c * h, b * g + d * h, a * i + c * j, b * i + d * j, a * k + c * l + e, b * k + d * l + f)

    def _matrix(self) -> tuple[float, ...]:
        numbers = self.numbers
        if self.name == "translate":
            return (1, 0, 0, 1, *numbers)
        if self.name == "scale":
            return (numbers[0], 0, 0, numbers[1], 0, 0)
        if self.name == "rotate":
            angle, x, y = numbers
            cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
            return (cos, sin, -sin, cos, x - cos * x + sin * y, y - sin * x - cos * y)
        return numbers


class Shape:
    """A shape. It never changes: each operation makes a new one."""

    def __init__(self, tag: str, attributes: dict[str, Any], children: tuple[Shape, ...] = (), steps: tuple[_Step, ...] = ()) -> None:
        self._tag = tag
        self._attributes = attributes
        self._children = children
        # The last step is first, as SVG has it.
        self._steps = steps

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

    def _transformed(self, step: _Step) -> Shape:
        both = step.after(self._steps[0]) if self._steps else None
        steps = (both, *self._steps[1:]) if both else (step, *self._steps)
        if len(steps) > MAX_STEPS:
            matrix = steps[0]
            for earlier in steps[1:]:
                matrix = matrix.matrix_after(earlier)
            steps = (matrix,)
        return Shape(self._tag, self._attributes, self._children, steps)

    def _message(self) -> dict[str, Any]:
        message = {"tag": self._tag, **self._attributes}
        if self._steps:
            message["transform"] = " ".join(step.text for step in self._steps)
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


def _number(value: float, digits: int = DIGITS) -> float:
    """A number as it is sent."""
    if not isinstance(value, (int, float)):
        raise TypeError(f"a number is needed, not {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"a finite number is needed, not {value!r}")
    rounded = round(value, digits)
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
    step = _Step("translate", x, -y)
    return Transformation(lambda shape: shape._transformed(step))


def rotate(angle: float, x: float = 0, y: float = 0) -> Transformation:
    """Rotates a shape about (x, y), counterclockwise, by an angle in degrees."""
    step = _Step("rotate", -angle, x, -y)
    return Transformation(lambda shape: shape._transformed(step))


def scale(s: float = 1, x: float | None = None, y: float | None = None) -> Transformation:
    """Makes a shape ``s`` times as large, or ``x`` times as wide and ``y`` times as high."""
    step = _Step("scale", s if x is None else x, s if y is None else y)
    return Transformation(lambda shape: shape._transformed(step))


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
