"""A canvas to draw on, a mouse and a keyboard. docs/canvas.md describes every call and the message it sends.

Lengths and places are in pixels; the origin is the top left corner, y grows downwards; angles are in degrees, clockwise.
Every shape takes a style besides, e.g. ``circle(100, 100, 50, fill="red")``.
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
# What was pressed for less than a frame counts as pressed for so long, from when it is asked for.
TAP_SECONDS = 1 / MAX_FRAMES_A_SECOND
# Matrices are rounded, so that all languages send the same though their sines differ in the last digit.
MATRIX_DIGITS = 6
IDENTITY = (1, 0, 0, 1, 0, 0)

_style: dict[str, Any] = {}
_matrix: tuple[float, ...] = IDENTITY
_layer = 0
_saved: list[tuple[dict[str, Any], tuple[float, ...]]] = []
_images: set[str] = set()  # those that have been sent
_next_frame = 0.0

_mouse_x: float = 0
_mouse_y: float = 0
_down: set[int | str] = set()  # the buttons, by number, and the keys, by name, that count as pressed
_unseen: set[int | str] = set()  # those of them that the program has not asked for since they went down
_taps: dict[int | str, float] = {}  # those that are up again already, unseen; and when they were first asked for
_old_taps: list[int | str] = []  # those that the program has had a frame's time to ask for


def _draw(shape: str, args: list, style: dict[str, Any], **fields: Any) -> None:
    """One shape, with the style and the transformation that are set."""
    message = {"msgtype": "draw", "shape": shape, "args": args, **fields}
    if _style:
        style = {**_style, **style}
    if style:
        message["style"] = style
    if _matrix != IDENTITY:
        message["transform"] = [_short(number) for number in _matrix]
    if _layer:
        message["layer"] = _layer
    livecode._post(livecode._line(message))


def _command(shape: str, args: list, is_of_layer: bool) -> None:
    """What is no shape, and has neither style nor place."""
    message: dict[str, Any] = {"msgtype": "draw", "shape": shape, "args": args}
    if is_of_layer and _layer:
        message["layer"] = _layer
    livecode._post(livecode._line(message))


def _short(number: float) -> float:
    rounded = round(number, MATRIX_DIGITS)
    return int(rounded) if rounded % 1 == 0 else rounded


# Shapes


def circle(x: float, y: float, d: float, **style: Any) -> None:
    """A circle of diameter ``d`` around (x, y)."""
    _draw("circle", [x, y, d], style)


def ellipse(x: float, y: float, w: float, h: float, **style: Any) -> None:
    """An ellipse around (x, y), ``w`` wide and ``h`` high."""
    _draw("ellipse", [x, y, w, h], style)


def line(x1: float, y1: float, x2: float, y2: float, **style: Any) -> None:
    """A line from (x1, y1) to (x2, y2)."""
    _draw("line", [x1, y1, x2, y2], style)


def rect(x: float, y: float, w: float, h: float, **style: Any) -> None:
    """A rectangle, ``w`` wide and ``h`` high, with its top left corner at (x, y)."""
    _draw("rect", [x, y, w, h], style)


def polygon(*points: Any, **style: Any) -> None:
    """A polygon with these corners: ``polygon(x1, y1, x2, y2, x3, y3)``, or one list of pairs."""
    if len(points) == 1:
        points = tuple(points[0])
    numbers: list = []
    for point in points:
        numbers.extend(point if hasattr(point, "__len__") else [point])
    if len(numbers) < 6 or len(numbers) % 2:
        raise ValueError(f"polygon: at least three corners of two numbers each are needed, not {len(numbers)} numbers")
    _draw("polygon", numbers, style)


def text(words: Any, x: float, y: float, **style: Any) -> None:
    """A text whose base line starts at (x, y); ``size`` is its height in pixels, ``align`` left, center or right."""
    _draw("text", [words if isinstance(words, str) else str(words), x, y], style)


def image(picture: Any, x: float, y: float, w: float | None = None, h: float | None = None, **style: Any) -> None:
    """A picture with its top left corner at (x, y), ``w`` wide and ``h`` high, or as large as it is.

    It is the path or the bytes of a PNG, JPEG, GIF, WebP or SVG, or a ``data:`` address, and is sent when first drawn.
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
    """Takes away all that was drawn."""
    _command("clear", [], True)


def background(*colour: Any) -> None:
    """Paints the whole canvas in one colour, over all that was drawn."""
    _command("background", [_colour("background", colour)], True)


def size(w: float, h: float) -> None:
    """Makes the canvas ``w`` wide and ``h`` high, and empty. It is 400 by 400 before."""
    _command("size", [w, h], False)


def layer(number: int) -> None:
    """Draws on this layer from now on: 0, the lowest, to 9. ``clear`` and ``background`` are of one layer alone."""
    global _layer
    if number not in range(10):
        raise ValueError(f"layer: a whole number from 0 to 9 is needed, not {number!r}")
    _layer = int(number)


# Style


def _colour(call: str, given: tuple) -> str:
    """A colour as the page takes it, from its name or its red, green and blue."""
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
        return f"rgba({red},{green},{blue},{_short(given[3])})"
    raise TypeError(f'{call}: a colour is a text such as "red" or "#ff0000", or three numbers from 0 to 255, not {given!r}')


def _set(key: str, value: Any) -> None:
    global _style
    _style = {**_style, key: value}


def _unset(key: str) -> None:
    global _style
    _style = {other: value for other, value in _style.items() if other != key}


def fill(*colour: Any) -> None:
    """Fills shapes with this colour from now on; ``fill(None)`` leaves them empty, ``fill()`` is as at the start."""
    _set("fill", _colour("fill", colour)) if colour else _unset("fill")


def stroke(*colour: Any) -> None:
    """Outlines shapes in this colour from now on; ``stroke(None)`` not at all, ``stroke()`` is as at the start."""
    _set("stroke", _colour("stroke", colour)) if colour else _unset("stroke")


def width(pixels: float | None = None) -> None:
    """How wide lines and outlines are from now on; without a number as at the start."""
    _unset("width") if pixels is None else _set("width", pixels)


# Where to draw


def _transform(a: float, b: float, c: float, d: float, e: float, f: float) -> None:
    """What is drawn from now on is first moved by this matrix, then as before."""
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
    """Turns what is drawn from now on clockwise about the origin."""
    from math import cos, radians, sin

    c, s = cos(radians(degrees)), sin(radians(degrees))
    _transform(c, s, -s, c, 0, 0)


def scale(x: float, y: float | None = None) -> None:
    """Makes what is drawn from now on ``x`` times as wide and ``y`` (or also ``x``) times as high."""
    _transform(x, 0, 0, x if y is None else y, 0, 0)


def push() -> None:
    """Remembers style, origin, angle and scale until ``pop``."""
    if len(_saved) >= 1000:
        raise RuntimeError("push: 1000 pushes have no pop")
    _saved.append((_style, _matrix))


def pop() -> None:
    """Brings back what the last ``push`` remembered."""
    global _style, _matrix
    if not _saved:
        raise RuntimeError("pop: there was no push")
    _style, _matrix = _saved.pop()


# Animation


def frame(fps: float = MAX_FRAMES_A_SECOND) -> None:
    """Shows what was drawn since the last frame, all at once, and waits for the time of the next, ``fps`` a second.

    Handlers are called meanwhile.
    """
    global _next_frame
    if not 0 < fps <= MAX_FRAMES_A_SECOND:
        raise ValueError(f"frame: from 1 to {MAX_FRAMES_A_SECOND} frames a second can be shown, not {fps!r}")
    _command("frame", [], False)
    for tap in _old_taps:
        if tap in _taps:
            _let_go(tap)
    now = monotonic()
    # A frame that took too long is not made up for by a hurry.
    _next_frame = max(_next_frame + 1 / fps, now)
    livecode._handle(_next_frame)
    _old_taps[:] = _taps


# Mouse and keyboard


def _key(name: str) -> str:
    """A key's name for polling: ``"left"`` is the arrow, ``"space"`` the space bar, ``"a"`` also ``"A"``."""
    name = name.lower()
    return "space" if name == " " else name.removeprefix("arrow")


def _watch(event: dict[str, Any]) -> None:
    """Keeps in mind where the mouse is and what is pressed."""
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
    elif name == "blur":  # what is let go now goes unseen
        for pressed in tuple(_down):
            _let_go(pressed)


def _press(what: Any) -> None:
    if not isinstance(what, (int, str)):
        return
    if what not in _down or what in _taps:
        _unseen.add(what)
    _down.add(what)
    _taps.pop(what, None)


def _release(what: Any) -> None:
    if not isinstance(what, (int, str)):
        return
    if what in _unseen and what in _down:
        _taps.setdefault(what, 0.0)
    else:
        _let_go(what)


def _let_go(what: int | str) -> None:
    _down.discard(what)
    _unseen.discard(what)
    _taps.pop(what, None)


def _is_down(what: int | str) -> bool:
    """Whether it is pressed; what was only tapped is for as long as a frame, so that no loop can miss it."""
    if what in _taps:
        now = monotonic()
        _taps[what] = _taps[what] or now
        if now - _taps[what] > TAP_SECONDS:
            _let_go(what)
    else:
        _unseen.discard(what)
    return what in _down


livecode._watchers.append(_watch)


def _poll() -> None:
    # A program that takes events itself knows the state after the last one that it took.
    if not livecode._is_iterated:
        livecode._handle(0.0)


def mouse_x() -> float:
    """Where the mouse is, in pixels from the left."""
    _poll()
    return _mouse_x


def mouse_y() -> float:
    """Where the mouse is, in pixels from the top."""
    _poll()
    return _mouse_y


def mouse_pressed(button: int = 0) -> bool:
    """Whether a mouse button is down: 0 the left, 1 the middle, 2 the right one."""
    _poll()
    return _is_down(button)


def key_pressed(key: str) -> bool:
    """Whether a key is down, e.g. ``"a"``, ``"left"``, ``"space"``, ``"enter"``."""
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
    """Calls ``handler(x, y)`` where the mouse moves."""
    return _handler("mousemove", _at, handler)


def on_mouse_down(handler: Callable[[float, float], Any]) -> Any:
    """Calls ``handler(x, y)`` where a mouse button goes down."""
    return _handler("mousedown", _at, handler)


def on_mouse_up(handler: Callable[[float, float], Any]) -> Any:
    """Calls ``handler(x, y)`` where a mouse button comes up."""
    return _handler("mouseup", _at, handler)


def on_click(handler: Callable[[float, float], Any]) -> Any:
    """Calls ``handler(x, y)`` where the mouse clicks."""
    return _handler("click", _at, handler)


def on_key_down(handler: Callable[[str], Any]) -> Any:
    """Calls ``handler(key)`` when a key goes down, e.g. with ``"a"``, ``"A"``, ``"ArrowLeft"``, ``" "``."""
    return _handler("keydown", _of_key, handler)


def on_key_up(handler: Callable[[str], Any]) -> Any:
    """Calls ``handler(key)`` when a key comes up."""
    return _handler("keyup", _of_key, handler)
