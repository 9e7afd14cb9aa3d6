"""The parts of tkinter that Python's turtle module uses.

These are a window, a canvas with items, events, timers and dialogs.

The canvas keeps its items as that of tkinter does. `_turtle_paint` converts them to draw messages
at each update.
"""

from __future__ import annotations

import atexit
import base64
import heapq
import itertools
import sys
import time
import traceback
import types
from typing import Any

import livecode
from _turtle_colours import hexadecimal, rgb
from _turtle_paint import Item, Painter

SUNKEN, HORIZONTAL, ROUND = "sunken", "horizontal", "round"

# The window of a turtle program is half as wide as the screen and three quarters as high.
SCREEN_WIDTH, SCREEN_HEIGHT = 1200, 900
# tkinter measures fonts in points, a page in pixels.
PIXELS_A_POINT = 4 / 3
# Estimates of a text's dimensions, as factors of its height. The turtle moves by a text's width,
# but only the page knows the fonts.
WIDTH_OF_HEIGHT = 0.55
LINE_OF_HEIGHT = 1.25
DESCENT_OF_HEIGHT = 0.25

KEYSYMS = {
    "ArrowUp": "Up", "ArrowDown": "Down", "ArrowLeft": "Left", "ArrowRight": "Right", "Enter": "Return",
    "Backspace": "BackSpace", "PageUp": "Prior", "PageDown": "Next", "Shift": "Shift_L", "Control": "Control_L",
    "Alt": "Alt_L", " ": "space", ".": "period", ",": "comma", "-": "minus", "+": "plus", "*": "asterisk",
    "/": "slash", "\\": "backslash", "=": "equal", ";": "semicolon", ":": "colon", "'": "apostrophe",
    '"': "quotedbl", "!": "exclam", "?": "question", "#": "numbersign", "$": "dollar", "%": "percent",
    "&": "ampersand", "(": "parenleft", ")": "parenright", "[": "bracketleft", "]": "bracketright",
    "{": "braceleft", "}": "braceright", "<": "less", ">": "greater", "_": "underscore", "|": "bar", "~": "asciitilde",
    "@": "at", "^": "asciicircum", "`": "grave",
}  # fmt: skip


class TclError(Exception):
    """The exception of tkinter."""


class Event:
    """The argument of a bound function. Coordinates are in whole pixels."""

    def __init__(self, x: float = 0, y: float = 0, keysym: str = "") -> None:
        self.x, self.y, self.keysym = int(x), int(y), keysym


class Interpreter:
    """The events, the timers and the page, which all canvases share."""

    def __init__(self) -> None:
        self.painter = Painter()
        self.canvases: list[Canvas] = []
        self.heights = itertools.count()
        self.is_destroyed = False
        self._timers: list[tuple[float, int, Any, tuple]] = []
        self._numbers = itertools.count()
        self._pressed: dict[int, tuple[Canvas, Item | None]] = {}

    def after(self, milliseconds: float, function: Any, arguments: tuple) -> None:
        due = time.monotonic() + milliseconds / 1000
        heapq.heappush(self._timers, (due, next(self._numbers), function, arguments))

    def call(self, function: Any, *arguments: Any) -> None:
        """Calls a function for an event.

        Like tkinter, prints the traceback of an exception and continues.
        """
        try:
            function(*arguments)
        except Exception as error:
            # A Terminator is the exception that ends a turtle program after its window is closed.
            if type(error).__name__ != "Terminator":
                traceback.print_exc()

    def paint(self) -> None:
        """Shows all changes on the page."""
        livecode._flush()
        self.painter.paint([(it.place, it.bg, it.items) for it in self.canvases if it.is_shown()])

    def update(self) -> None:
        """Shows all changes, and calls the functions of timers that are due and of events."""
        self.paint()
        # Timers that these functions add are handled in the next update.
        now = time.monotonic()
        due = []
        while self._timers and self._timers[0][0] <= now:
            due.append(heapq.heappop(self._timers))
        for _, _, function, arguments in due:
            self.call(function, *arguments)
        while (event := livecode._take(False)) is not None:
            self._handle(event)

    def mainloop(self) -> None:
        """Runs until the window is destroyed, or no timer is left and no event can arrive."""
        while not self.is_destroyed:
            self.update()
            if self.is_destroyed:
                return
            can_be_asked = any(canvas.has_bindings() for canvas in self.canvases) and not livecode._ended
            if self._timers:
                left = self._timers[0][0] - time.monotonic()
                if left > 0 and not livecode._ended:
                    livecode._wait_readable(self._timers[0][0])
                elif left > 0:
                    time.sleep(left)
            elif can_be_asked:
                livecode._wait_readable(None)
            else:
                return

    def _handle(self, event: dict[str, Any]) -> None:
        name, data = event.get("event"), event.get("data")
        if not isinstance(data, dict):
            return
        if name in ("keydown", "keyup") and isinstance(data.get("key"), str):
            keysym = KEYSYMS.get(data["key"], data["key"])
            kind = "KeyPress" if name == "keydown" else "KeyRelease"
            for canvas in self.canvases:
                canvas.on_key(kind, keysym)
        elif name in ("mousedown", "mouseup", "mousemove"):
            x, y = data.get("x"), data.get("y")
            if isinstance(x, (int, float)) and isinstance(y, (int, float)):
                button = data.get("button", 0)
                self._on_mouse(name, x, y, button + 1 if isinstance(button, int) else 1)

    def _on_mouse(self, name: str, x: float, y: float, button: int) -> None:
        if name == "mousedown":
            for canvas in self.canvases:
                if (at := canvas.inside(x, y)) is not None:
                    item = canvas.topmost(canvas.canvasx(at[0]), canvas.canvasy(at[1]))
                    self._pressed[button] = canvas, item
                    canvas.on_button(f"<Button-{button}>", item, Event(*at))
                    return
        elif name == "mouseup":
            canvas, item = self._pressed.pop(button, (None, None))
            if canvas is not None:
                canvas.on_button(f"<Button{button}-ButtonRelease>", item, Event(*canvas.relative(x, y)))
        else:
            for canvas in self.canvases:
                if (at := canvas.inside(x, y)) is not None:
                    canvas.on_button("<Motion>", None, Event(*at))
            # The item under a pressed button gets the mouse movements until the button is
            # released.
            for held, (canvas, item) in tuple(self._pressed.items()):
                canvas.on_button(f"<Button{held}-Motion>", item, Event(*canvas.relative(x, y)))


interpreter = Interpreter()
# Unlike a window, the page stays after the program has ended, so the last drawing must be sent.
atexit.register(interpreter.paint)


def mainloop() -> None:
    """Implements ``tkinter.mainloop``."""
    interpreter.mainloop()


class Widget:
    """The base of windows, frames and canvases.

    Methods that have no meaning on a page do nothing.
    """

    tk = interpreter

    def __init__(self, master: Any = None, **options: Any) -> None:
        self.master = master
        self.options = options

    def _nothing(self, *_arguments: Any, **_options: Any) -> None:
        return None

    rowconfigure = columnconfigure = grid = grid_forget = pack = place_forget = wm_protocol = title = _nothing
    protocol = wm_attributes = attributes = resizable = iconbitmap = lift = focus_set = focus = bell = _nothing
    withdraw = deiconify = xview = yview = xview_moveto = yview_moveto = set = _nothing

    def winfo_toplevel(self) -> Any:
        return self if self.master is None else self.master.winfo_toplevel()

    def winfo_screenwidth(self) -> int:
        return SCREEN_WIDTH

    def winfo_screenheight(self) -> int:
        return SCREEN_HEIGHT

    def bind(self, *_arguments: Any) -> None:
        return None

    unbind = bind

    def mainloop(self, *_arguments: Any) -> None:
        interpreter.mainloop()

    def update(self) -> None:
        interpreter.update()

    update_idletasks = update

    def destroy(self) -> None:
        interpreter.update()
        interpreter.is_destroyed = True

    quit = destroy

    def after(self, milliseconds: float, function: Any = None, *arguments: Any) -> None:
        if function is None:
            time.sleep(max(0.0, milliseconds) / 1000)
        else:
            interpreter.after(milliseconds, function, arguments)

    def after_idle(self, function: Any, *arguments: Any) -> None:
        interpreter.after(0, function, arguments)


class Frame(Widget):
    """A part of a window, which has no function here."""


class Scrollbar(Widget):
    """A scroll bar, which has no function here: the page has its own."""


class Tk(Widget):
    """The window. Its size is that of its canvas."""

    def __init__(self) -> None:
        super().__init__()
        interpreter.is_destroyed = False

    def geometry(self, size: str) -> None:
        width, _, height = size.partition("+")[0].partition("-")[0].partition("x")
        for canvas in interpreter.canvases:
            if canvas.winfo_toplevel() is self:
                canvas.config(width=int(width), height=int(height))


class PhotoImage:
    """A picture from a file or from data, or an empty picture."""

    def __init__(self, file: str | None = None, width: int = 0, height: int = 0, data: Any = None, **_: Any) -> None:
        self.width_pixels, self.height_pixels, self.source = width, height, b""
        if data is not None:
            self.source = base64.b64decode(data)
        elif file is not None:
            try:
                with open(file, "rb") as picture:
                    self.source = picture.read()
            except OSError as error:
                raise TclError(f"couldn't open {file!r}: {error.strerror}") from None
        if self.source[:4] == b"GIF8":
            self.width_pixels = int.from_bytes(self.source[6:8], "little")
            self.height_pixels = int.from_bytes(self.source[8:10], "little")
        elif self.source[:4] == b"\x89PNG":
            self.width_pixels = int.from_bytes(self.source[16:20], "big")
            self.height_pixels = int.from_bytes(self.source[20:24], "big")
        elif self.source:
            raise TclError(f"couldn't recognise the picture {file!r}: it is no GIF and no PNG")

    def blank(self) -> None:
        self.source = b""

    def width(self) -> int:
        return self.width_pixels

    def height(self) -> int:
        return self.height_pixels


class Canvas(Widget):
    """A canvas. Its items are kept in drawing order, the lowest first."""

    def __init__(self, master: Any = None, width: float = 300, height: float = 200, bg: str = "white", **_: Any):
        super().__init__(master)
        self.width, self.height, self.bg = float(width), float(height), bg
        self.region = (0.0, 0.0, self.width, self.height)
        self.items: dict[int, Item] = {}
        self.place = (0.0, 0.0, self.width, self.height)
        self._numbers = itertools.count(1)
        self._bindings: dict[str, list[Any]] = {}
        interpreter.canvases.append(self)
        self._arrange()

    def _arrange(self) -> None:
        """Places several canvases one below the other, as pack() does."""
        top = 0.0
        for canvas in interpreter.canvases:
            canvas.place = (0.0, top, canvas.width, canvas.height)
            top += canvas.height
            # The middle of the scroll region is in the middle of the window.
            left = (canvas.region[0] + canvas.region[2] - canvas.width) / 2
            upper = (canvas.region[1] + canvas.region[3] - canvas.height) / 2
            canvas.origin = left, upper
            for item in canvas.items.values():
                item.shift = -left, canvas.place[1] - upper
        interpreter.painter.is_stale = True

    def destroy(self) -> None:
        if self in interpreter.canvases:
            interpreter.canvases.remove(self)

    # Options

    def config(self, **options: Any) -> None:
        """Sets options."""
        if options.get("bg", options.get("background")) is not None:
            self.bg = options.get("bg", options.get("background"))
            interpreter.painter.is_stale = True
        before = self.width, self.height, self.region
        self.width, self.height = float(options.get("width", self.width)), float(options.get("height", self.height))
        self.region = tuple(options.get("scrollregion", self.region))
        if before != (self.width, self.height, self.region):
            self._arrange()

    configure = config

    def cget(self, name: str) -> Any:
        """An option's value."""
        return {"width": self.width, "height": self.height, "bg": self.bg, "background": self.bg}[name]

    def __getitem__(self, name: str) -> Any:
        return self.cget(name)

    def winfo_width(self) -> int:
        return int(self.width)

    def winfo_height(self) -> int:
        return int(self.height)

    def winfo_rgb(self, colour: str) -> tuple[int, int, int]:
        try:
            red, green, blue = rgb(colour)
        except KeyError:
            raise TclError(f"unknown color name {colour!r}") from None
        return red * 257, green * 257, blue * 257

    # Coordinates

    def relative(self, x: float, y: float) -> tuple[float, float]:
        """Converts a point of the page to one of this canvas."""
        return x - self.place[0], y - self.place[1]

    def inside(self, x: float, y: float) -> tuple[float, float] | None:
        """The same as ``relative``, but None if the point is outside the canvas."""
        at = self.relative(x, y)
        return at if 0 <= at[0] < self.width and 0 <= at[1] < self.height else None

    def canvasx(self, x: float) -> float:
        return x + self.origin[0]

    def canvasy(self, y: float) -> float:
        return y + self.origin[1]

    # Items

    def is_shown(self) -> bool:
        """Whether the canvas has its size.

        Before that, its width is only a fraction of the screen's width.
        """
        return self.width > 1 and self.height > 1

    def _create(self, kind: str, coords: Any, options: dict[str, Any]) -> int:
        number = next(self._numbers)
        item = Item(kind, interpreter.painter)
        item.height = next(interpreter.heights)
        item.shift = -self.origin[0], self.place[1] - self.origin[1]
        self.items[number] = item
        item.set_coords(_flat(coords))
        self.itemconfigure(number, **options)
        return number

    def create_polygon(self, *coords: Any, **options: Any) -> int:
        return self._create("polygon", coords, {"fill": "black", "outline": "", "width": 1, **options})

    def create_line(self, *coords: Any, **options: Any) -> int:
        return self._create("line", coords, {"fill": "black", "width": 1, **options})

    def create_image(self, *coords: Any, **options: Any) -> int:
        return self._create("image", coords, options)

    def create_text(self, *coords: Any, **options: Any) -> int:
        return self._create("text", coords, {"fill": "black", "text": "", "anchor": "center", **options})

    def itemconfigure(self, number: int, **options: Any) -> None:
        """Changes options of an item."""
        item = self.items.get(number)
        if item is None:
            return
        for name in ("fill", "outline"):
            if name in options:
                options[name] = hexadecimal(options[name])
        if "font" in options:
            options.update(_font(options.pop("font")))
        if "image" in options:
            image = options["image"]
            is_picture = isinstance(image, PhotoImage)
            options["image"] = (image.source, image.width_pixels, image.height_pixels) if is_picture else (b"", 0, 0)
        options.pop("capstyle", None)
        item.set_options(options)

    itemconfig = itemconfigure

    def coords(self, number: int, *coords: Any) -> list[float]:
        """Moves an item if coordinates are given, and returns its coordinates."""
        item = self.items.get(number)
        if item is None:
            return []
        if coords:
            item.set_coords(_flat(coords))
        return list(item.coords)

    def delete(self, *numbers: Any) -> None:
        """Deletes items."""
        for number in tuple(self.items) if "all" in numbers else numbers:
            item = self.items.pop(number, None)
            if item is not None:
                interpreter.painter.remove(item)

    def tag_raise(self, number: int) -> None:
        if number in self.items:
            self.items[number] = item = self.items.pop(number)
            item.height = next(interpreter.heights)
            interpreter.painter.is_stale = interpreter.painter.is_stale or item.painted is not None

    def tag_lower(self, number: int) -> None:
        if number in self.items:
            item = self.items.pop(number)
            others = dict(self.items)
            self.items.clear()
            self.items[number] = item
            self.items.update(others)
            item.height = -next(interpreter.heights)
            interpreter.painter.is_stale = True

    def type(self, number: int) -> str | None:
        return self.items[number].kind if number in self.items else None

    def find_all(self) -> tuple[int, ...]:
        return tuple(self.items)

    def bbox(self, number: int) -> tuple[float, float, float, float] | None:
        """The bounding box of an item."""
        item = self.items.get(number)
        if item is None:
            return None
        if item.kind == "text":
            lines = str(item.options["text"]).split("\n")
            height = item.options.get("size", 16)
            width = max(len(line) for line in lines) * height * WIDTH_OF_HEIGHT
            part = {"sw": 0.0, "s": 0.5, "se": 1.0}.get(item.options["anchor"], 0.5)
            left, bottom = item.coords[0] - width * part, item.coords[1]
            return round(left), round(bottom - len(lines) * height * LINE_OF_HEIGHT), round(left + width), round(bottom)
        if item.kind == "image":
            _, width, height = item.options.get("image", (b"", 0, 0))
            x, y = item.coords[:2]
            return x - width / 2, y - height / 2, x + width / 2, y + height / 2
        xs, ys = item.coords[0::2], item.coords[1::2]
        return min(xs), min(ys), max(xs), max(ys)

    def topmost(self, x: float, y: float) -> Item | None:
        """The uppermost visible item at a point."""
        for number in reversed(self.items):
            item = self.items[number]
            if item.is_visible() and item.holds(x, y, self.bbox(number)):
                return item
        return None

    # Events

    def _bind(self, bindings: dict[str, list[Any]], sequence: str, function: Any, add: Any) -> None:
        if add:
            bindings.setdefault(sequence, []).append(function)
        else:
            bindings[sequence] = [function]

    def bind(self, sequence: str, function: Any = None, add: Any = None) -> None:
        if sequence == "<Configure>" or function is None:
            return
        if sequence.startswith(("<KeyPress-", "<KeyRelease-")):
            kind, _, key = sequence[1:-1].partition("-")
            sequence = f"<{kind}-{KEYSYMS.get(key, key) if len(key) == 1 else key}>"
        self._bind(self._bindings, sequence, function, add)

    def unbind(self, sequence: str, _function: Any = None) -> None:
        self._bindings.pop(sequence, None)

    def tag_bind(self, number: int, sequence: str, function: Any, add: Any = None) -> None:
        if number in self.items:
            self._bind(self.items[number].bindings, sequence, function, add)

    def tag_unbind(self, number: int, sequence: str, _function: Any = None) -> None:
        if number in self.items:
            self.items[number].bindings.pop(sequence, None)

    def focus_force(self) -> None:
        """Does nothing: the canvas on a page receives all keys."""

    def has_bindings(self) -> bool:
        return bool(self._bindings) or any(item.bindings for item in self.items.values())

    def on_button(self, sequence: str, item: Item | None, event: Event) -> None:
        """Calls the bound functions of the item, then those of the canvas."""
        of_item = item.bindings.get(sequence, ()) if item is not None else ()
        for function in (*of_item, *self._bindings.get(sequence, ())):
            interpreter.call(function, event)

    def on_key(self, kind: str, keysym: str) -> None:
        """Calls the functions bound to this key, or else those bound to all keys."""
        functions = self._bindings.get(f"<{kind}-{keysym}>") or self._bindings.get(f"<{kind}>") or ()
        for function in tuple(functions):
            interpreter.call(function, Event(keysym=keysym))


def _flat(coords: Any) -> tuple[float, ...]:
    if len(coords) == 1 and hasattr(coords[0], "__len__"):
        coords = coords[0]
    return tuple(float(number) for number in coords)


def _font(font: Any) -> dict[str, Any]:
    """Converts a font of tkinter to the style of a text."""
    parts = font.split() if isinstance(font, str) else list(font)
    family = parts[0] if parts else "Arial"
    size = parts[1] if len(parts) > 1 else 8
    styles = " ".join(str(part) for part in parts[2:]).lower()
    try:
        pixels = float(size)
    except ValueError:
        raise TclError(f"expected a font's size, but got {size!r}") from None
    # A negative size is in pixels.
    pixels = -pixels if pixels < 0 else pixels * PIXELS_A_POINT
    return {"font": str(family), "size": round(pixels, 2), "bold": "bold" in styles, "italic": "italic" in styles}


def _ask(title: str, prompt: str) -> str | None:
    """Prints the prompt on standard output, and reads the answer from standard input."""
    interpreter.update()
    print(f"{title}: {prompt} ", end="", flush=True)
    line = sys.stdin.readline()
    return line.rstrip("\n") if line else None


def _ask_number(title: str, prompt: str, initialvalue: Any = None, minvalue: Any = None, maxvalue: Any = None, **_: Any):
    while True:
        answer = _ask(title, prompt if initialvalue is None else f"{prompt} [{initialvalue}]")
        if answer is None:
            return None
        if answer == "" and initialvalue is not None:
            return initialvalue
        try:
            number = float(answer)
        except ValueError:
            print("That is not a number.")
            continue
        if minvalue is not None and number < minvalue:
            print(f"The smallest number is {minvalue}.")
        elif maxvalue is not None and number > maxvalue:
            print(f"The largest number is {maxvalue}.")
        else:
            return number


simpledialog = types.ModuleType("tkinter.simpledialog")
simpledialog.askstring = lambda title, prompt, **_: _ask(title, prompt)  # type: ignore[attr-defined]
simpledialog.askfloat = _ask_number  # type: ignore[attr-defined]
