"""A canvas to draw on, with mouse and keyboard.

docs/canvas.md describes every function and the message that it sends. Coordinates and lengths are
in pixels. The origin is the top left corner, and y grows downwards. Angles are in degrees,
clockwise. Every shape takes a style as keyword arguments, e.g. ``circle(100, 100, 50,
fill="red")``.
"""

from __future__ import annotations

from time import monotonic

import livecode
from livecode import run, stop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = (
    "background circle clear ellipse fill frame image key_pressed layer line mouse_pressed mouse_x mouse_y on_click "
    "on_key_down on_key_up on_mouse_down on_mouse_move on_mouse_up polygon pop push rect rotate run scale size stop "
    "stroke text translate width"
).split()

MAX_FRAMES_A_SECOND = 60
# A key or button that was pressed for less than a frame counts as pressed for this time after the
# program first asks for it.
TAP_SECONDS = 1 / MAX_FRAMES_A_SECOND
# Matrices are rounded, so that all languages send the same numbers although their sines differ in
# the last digit.
MATRIX_DIGITS = 6
IDENTITY = (1, 0, 0, 1, 0, 0)

_style: dict[str, Any] = {}
_matrix: tuple[float, ...] = IDENTITY
_layer = 0
_saved: list[tuple[dict[str, Any], tuple[float, ...]]] = []
_images: set[str] = set()  # names of the pictures that have been sent
_next_frame = 0.0

_mouse_x: float = 0
_mouse_y: float = 0
# Buttons, by number, and keys, by name, that count as pressed.
_down: set[int | str] = set()
# Those in _down that the program has not asked for since they were pressed.
_unseen: set[int | str] = set()
# Those in _down that were released before the program asked for them, with the time of the first
# question or 0.
_taps: dict[int | str, float] = {}
# The taps at the end of the last frame; they are forgotten at the end of the current one.
_old_taps: list[int | str] = []


def _draw(shape: str, args: list, style: dict[str, Any], **fields: Any) -> None:
    """Sends a shape with the current style and transformation."""
    message = {"msgtype": "draw", "shape": shape, "args": args, **fields}
    if _style:
        style = {**_style, **style}
    if style:
        message["style"] = style
    if _matrix != IDENTITY:
        message["transform"] = [_round(number) for number in _matrix]
    if _layer:
        message["layer"] = _layer
    livecode._post(livecode._line(message))


def _command(shape: str, args: list, is_of_layer: bool) -> None:
    """Sends a command that is not a shape and has neither style nor transformation."""
    message: dict[str, Any] = {"msgtype": "draw", "shape": shape, "args": args}
    if is_of_layer and _layer:
        message["layer"] = _layer
    livecode._post(livecode._line(message))


def _round(number: float) -> float:
    rounded = round(number, MATRIX_DIGITS)
    return int(rounded) if rounded % 1 == 0 else rounded


# Shapes


def circle(x: float, y: float, d: float, **style: Any) -> None:
    """Draws a circle of diameter ``d`` around (x, y)."""
    _draw("circle", [x, y, d], style)


def ellipse(x: float, y: float, w: float, h: float, **style: Any) -> None:
    """Draws an ellipse around (x, y), ``w`` wide and ``h`` high."""
    _draw("ellipse", [x, y, w, h], style)


def line(x1: float, y1: float, x2: float, y2: float, **style: Any) -> None:
    """Draws a line from (x1, y1) to (x2, y2)."""
    _draw("line", [x1, y1, x2, y2], style)


def rect(x: float, y: float, w: float, h: float, **style: Any) -> None:
    """Draws a rectangle, ``w`` wide and ``h`` high, with its top left corner at (x, y)."""
    _draw("rect", [x, y, w, h], style)


def polygon(*points: Any, **style: Any) -> None:
    """Draws a polygon with the given corners.

    They are given as ``polygon(x1, y1, x2, y2, x3, y3)`` or as one list of pairs.
    """
    if len(points) == 1:
        points = tuple(points[0])
    numbers: list = []
    for point in points:
        numbers.extend(point if hasattr(point, "__len__") else [point])
    if len(numbers) < 6 or len(numbers) % 2:
        raise ValueError(f"polygon: at least three corners of two numbers each are needed, not {len(numbers)} numbers")
    _draw("polygon", numbers, style)


def text(words: Any, x: float, y: float, **style: Any) -> None:
    """Draws a text whose base line starts at (x, y).

    In the style, ``size`` is its height in pixels, and ``align`` is left, center or right.
    """
    _draw("text", [words if isinstance(words, str) else str(words), x, y], style)


def image(picture: Any, x: float, y: float, w: float | None = None, h: float | None = None, **style: Any) -> None:
    """Draws a picture with its top left corner at (x, y).

    It is ``w`` wide and ``h`` high; without them it has its own size. The picture is given as the
    path or the bytes of a PNG, JPEG, GIF, WebP or SVG, or as a ``data:`` address. It is sent when
    it is first drawn.
    """
    if (w is None) != (h is None):
        raise ValueError("image: give both width and height, or neither")
    from _canvas_image import address

    name, source = address(picture)
    fields = {"image": name}
    if name not in _images:
        fields["src"] = source
    _draw("image", [x, y] if w is None else [x, y, w, h], style, **fields)
    _images.add(name)


def clear() -> None:
    """Removes everything that was drawn on the current layer."""
    _command("clear", [], True)


def background(*colour: Any) -> None:
    """Paints the whole canvas in one colour, over everything that was drawn."""
    _command("background", [_colour("background", colour)], True)


def size(w: float, h: float) -> None:
    """Makes the canvas ``w`` wide and ``h`` high, and clears it.

    Its initial size is 400 by 400.
    """
    _command("size", [w, h], False)


def layer(number: int) -> None:
    """Selects the layer for all further drawing, from 0, the lowest, to 9.

    ``clear`` and ``background`` affect only the selected layer.
    """
    global _layer
    if number not in range(10):
        raise ValueError(f"layer: a whole number from 0 to 9 is needed, not {number!r}")
    _layer = int(number)


# Style


def _colour(call: str, given: tuple) -> str:
    """A colour as CSS, from its name or its red, green and blue parts."""
    if len(given) == 1 and isinstance(given[0], (tuple, list)):
        given = tuple(given[0])
    if len(given) == 1:
        if given[0] is None:
            return "none"
        if isinstance(given[0], str):
            return given[0]
    elif len(given) in (3, 4) and all(isinstance(part, (int, float)) for part in given):
        red, green, blue = (int(part + 0.5) for part in given[:3])
        if len(given) == 3:
            return f"rgb({red},{green},{blue})"
        return f"rgba({red},{green},{blue},{_round(given[3])})"
    raise TypeError(f'{call}: a colour is a text such as "red" or "#ff0000", or three numbers from 0 to 255, not {given!r}')


def _set(key: str, value: Any) -> None:
    global _style
    _style = {**_style, key: value}


def _unset(key: str) -> None:
    global _style
    _style = {other: value for other, value in _style.items() if other != key}


def fill(*colour: Any) -> None:
    """Sets the fill colour of further shapes.

    ``fill(None)`` leaves them unfilled; ``fill()`` restores the default.
    """
    _set("fill", _colour("fill", colour)) if colour else _unset("fill")


def stroke(*colour: Any) -> None:
    """Sets the colour of outlines and lines.

    ``stroke(None)`` draws none; ``stroke()`` restores the default.
    """
    _set("stroke", _colour("stroke", colour)) if colour else _unset("stroke")


def width(pixels: float | None = None) -> None:
    """Sets the width of outlines and lines. Without an argument it restores the default."""
    _unset("width") if pixels is None else _set("width", pixels)


# Transformation


def _transform(a: float, b: float, c: float, d: float, e: float, f: float) -> None:
    """Applies a matrix to further shapes before the current transformation."""
    global _matrix
    a0, b0, c0, d0, e0, f0 = _matrix
    _matrix = (
        a0 * a + c0 * b,
        b0 * a + d0 * b,
        a0 * c + c0 * d,
        b0 * c + d0 * d,
        a0 * e + c0 * f + e0,
        b0 * e + d0 * f + f0,
    )


def translate(x: float, y: float) -> None:
    """Moves the origin by (x, y)."""
    _transform(1, 0, 0, 1, x, y)


def rotate(degrees: float) -> None:
    """Rotates further shapes clockwise about the origin."""
    from math import cos, radians, sin

    c, s = cos(radians(degrees)), sin(radians(degrees))
    _transform(c, s, -s, c, 0, 0)


def scale(x: float, y: float | None = None) -> None:
    """Scales further shapes by ``x`` in width and by ``y`` (by default ``x``) in height."""
    _transform(x, 0, 0, x if y is None else y, 0, 0)


def push() -> None:
    """Saves the style and the transformation until ``pop``."""
    if len(_saved) >= 1000:
        raise RuntimeError("push: 1000 pushes have no pop")
    _saved.append((_style, _matrix))


def pop() -> None:
    """Restores the style and the transformation of the last ``push``."""
    global _style, _matrix
    if not _saved:
        raise RuntimeError("pop: there was no push")
    _style, _matrix = _saved.pop()


# Animation


def frame(fps: float = MAX_FRAMES_A_SECOND) -> None:
    """Shows everything that was drawn since the last frame at once, and waits for the next frame.

    There are ``fps`` frames per second. Event handlers are called while it waits.
    """
    global _next_frame
    if not 0 < fps <= MAX_FRAMES_A_SECOND:
        raise ValueError(f"frame: from 1 to {MAX_FRAMES_A_SECOND} frames a second can be shown, not {fps!r}")
    _command("frame", [], False)
    for tap in _old_taps:
        if tap in _taps:
            _forget(tap)
    now = monotonic()
    # After a frame that took too long, the next one gets its full time.
    _next_frame = max(_next_frame + 1 / fps, now)
    livecode._handle(_next_frame)
    _old_taps[:] = _taps


# Mouse and keyboard


def _key(name: str) -> str:
    """A key's name for polling.

    It is ``"left"`` for the arrow, ``"space"`` for the space bar, and ``"a"`` also for ``"A"``.
    """
    name = name.lower()
    return "space" if name == " " else name.removeprefix("arrow")


def _watch(event: dict[str, Any]) -> None:
    """Records the position of the mouse and the pressed keys and buttons."""
    global _mouse_x, _mouse_y
    name, data = event.get("event"), event.get("data")
    if not isinstance(data, dict):
        data = {}
    x, y, key = data.get("x"), data.get("y"), data.get("key")
    if isinstance(x, (int, float)) and isinstance(y, (int, float)):
        _mouse_x, _mouse_y = x, y
    if name == "mousedown":
        _press(data.get("button", 0))
    elif name == "mouseup":
        _release(data.get("button", 0))
    elif name == "keydown" and isinstance(key, str):
        _press(_key(key))
    elif name == "keyup" and isinstance(key, str):
        _release(_key(key))
    elif name == "blur":  # the page does not receive the release of a key or button without focus
        for pressed in tuple(_down):
            _forget(pressed)


def _press(key_or_button: Any) -> None:
    if not isinstance(key_or_button, (int, str)):
        return
    if key_or_button not in _down or key_or_button in _taps:
        _unseen.add(key_or_button)
    _down.add(key_or_button)
    _taps.pop(key_or_button, None)


def _release(key_or_button: Any) -> None:
    if not isinstance(key_or_button, (int, str)):
        return
    if key_or_button in _unseen and key_or_button in _down:
        _taps.setdefault(key_or_button, 0.0)
    else:
        _forget(key_or_button)


def _forget(key_or_button: int | str) -> None:
    _down.discard(key_or_button)
    _unseen.discard(key_or_button)
    _taps.pop(key_or_button, None)


def _is_down(key_or_button: int | str) -> bool:
    """Whether a key or button counts as pressed.

    After a tap it counts as pressed for the time of a frame, so that no loop misses it.
    """
    if key_or_button in _taps:
        now = monotonic()
        _taps[key_or_button] = _taps[key_or_button] or now
        if now - _taps[key_or_button] > TAP_SECONDS:
            _forget(key_or_button)
    else:
        _unseen.discard(key_or_button)
    return key_or_button in _down


livecode._watchers.append(_watch)


def _poll() -> None:
    # If a program reads events itself, the state is that after the last event that it has read.
    if not livecode._is_iterated:
        livecode._handle(0.0)


def mouse_x() -> float:
    """The position of the mouse, in pixels from the left."""
    _poll()
    return _mouse_x


def mouse_y() -> float:
    """The position of the mouse, in pixels from the top."""
    _poll()
    return _mouse_y


def mouse_pressed(button: int = 0) -> bool:
    """Whether a mouse button is pressed: 0 is the left, 1 the middle, 2 the right one."""
    _poll()
    return _is_down(button)


def key_pressed(key: str) -> bool:
    """Whether a key is pressed, e.g. ``"a"``, ``"left"``, ``"space"``, ``"enter"``."""
    _poll()
    return _is_down(_key(key))


def _at(handler: Callable[..., Any]) -> Callable[[Any], Any]:
    return lambda data: handler(_mouse_x, _mouse_y)


def _of_key(handler: Callable[..., Any]) -> Callable[[Any], Any]:
    return lambda data: handler(str(data.get("key", "")) if isinstance(data, dict) else "")


def _handler(event: str, adapt: Callable, handler: Any) -> Any:
    if not callable(handler):
        raise TypeError(f"the handler of {event} must be a function, not {handler!r}")
    livecode.on(event, adapt(handler))
    return handler


def on_mouse_move(handler: Callable[[float, float], Any]) -> Any:
    """Calls ``handler(x, y)`` whenever the mouse moves."""
    return _handler("mousemove", _at, handler)


def on_mouse_down(handler: Callable[[float, float], Any]) -> Any:
    """Calls ``handler(x, y)`` whenever a mouse button is pressed."""
    return _handler("mousedown", _at, handler)


def on_mouse_up(handler: Callable[[float, float], Any]) -> Any:
    """Calls ``handler(x, y)`` whenever a mouse button is released."""
    return _handler("mouseup", _at, handler)


def on_click(handler: Callable[[float, float], Any]) -> Any:
    """Calls ``handler(x, y)`` whenever the mouse is clicked."""
    return _handler("click", _at, handler)


def on_key_down(handler: Callable[[str], Any]) -> Any:
    """Calls ``handler(key)`` whenever a key is pressed.

    ``key`` is e.g. ``"a"``, ``"A"``, ``"ArrowLeft"`` or ``" "``.
    """
    return _handler("keydown", _of_key, handler)


def on_key_up(handler: Callable[[str], Any]) -> Any:
    """Calls ``handler(key)`` whenever a key is released."""
    return _handler("keyup", _of_key, handler)
