"""Messages from a program to whoever watches it, and events back.

    import livecode

    livecode.send("draw", shape="circle", args=[100, 100, 50])
    for event in livecode.events():
        print(event["event"], event["data"])

A message is a JSON object with a ``msgtype``; the names of LiveCode's own messages (``write``, ``exitstatus`` and the
like) are refused. An event is a dictionary with ``event``, its name, and ``data``.

In a coroutine the same functions are awaited: ``async for event in livecode.events()``, ``await livecode.next_event()``,
``await livecode.run()``.
"""

# Hints stay text, and modules are imported when first needed: programs that send nothing start no later.
from __future__ import annotations

import os
import sys
from _thread import allocate_lock
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["events", "next_event", "off", "on", "poll", "run", "send", "show", "stop"]

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
# Messages of the server's own.
RESERVED = frozenset(
    "welcome pong goodbye write exitstatus error ack gap waiting queued case cases testresult".split()
)
# A channel from which nothing is taken for so long fails the program's send, which would else wait for ever.
FULL_SECONDS = 5.0
# So many events are held for a program that takes none; further ones wait at the server, which tells their sender.
MAX_HELD_EVENTS = 10_000
READ_BYTES = 65536

_sending = allocate_lock()  # lines of several threads must not mix
_receiving = allocate_lock()
_socket_of: tuple[int, Any] | None = None
_unsent = b""  # the rest of a message whose send failed
_encode_json: Callable[[Any], str] | None = None

_part = b""  # of an event that has not come as a whole
_inbox: list[dict[str, Any]] = []  # what has come, the next event last
_ended = False
_handlers: dict[str, list[Callable[[Any], Any]]] = {}
_watchers: list[Callable[[dict[str, Any]], None]] = []  # told of each event that is taken, before anybody else
_is_iterated = False  # whether the program takes events itself, so that none without a handler may be dropped
_is_handling = False
_is_stopped = False


def _channel() -> Any:
    """The message channel, a stream socket."""
    global _socket_of
    try:
        number = int(os.environ["LIVECODE_FD"])
    except (KeyError, ValueError):
        raise RuntimeError("there is no message channel: this program does not run in LiveCode") from None
    if _socket_of is None or _socket_of[0] != number:
        from _socket import socket

        try:
            # A number of its own, since the object closes its number in the end.
            _socket_of = number, socket(fileno=os.dup(number))
        except OSError as error:
            raise RuntimeError(f"the message channel, descriptor {number}, is no socket: {error.strerror}") from None
    return _socket_of[1]


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not stream.closed:
            stream.flush()


# Sending


def send(msgtype: str | dict[str, Any], **fields: Any) -> None:
    """Sends a message, given as its ``msgtype`` and further fields, or whole as a dictionary.

    What was printed before it arrives before it.
    """
    if isinstance(msgtype, dict):
        fields = {**msgtype, **fields}
    else:
        fields = {"msgtype": msgtype, **fields}
    _post(_line(fields))


def _line(message: dict[str, Any]) -> bytes:
    """The line that says a message, once it is known to be one that a program may send."""
    global _encode_json
    if _encode_json is None:
        import json

        _encode_json = json.JSONEncoder(
            separators=(",", ":"), allow_nan=False, ensure_ascii=False, default=_plain
        ).encode
    name = message.get("msgtype")
    if not isinstance(name, str):
        wrong = f"not {name!r}" if "msgtype" in message else "and this one has none"
        raise ValueError(f'a message needs a "msgtype" that is a text, e.g. send("score", points=3), {wrong}')
    if name in RESERVED:
        raise ValueError(f'"{name}" is a message of the server\'s own: choose another msgtype')
    try:
        line = _encode_json(message).encode() + b"\n"
    except (TypeError, ValueError, RecursionError) as error:
        raise (TypeError if isinstance(error, TypeError) else ValueError)(
            f'the message "{name}" is not JSON, which knows None, True, False, finite numbers, texts, lists and '
            f"dictionaries: {error}"
        ) from None
    if len(line) - 1 > MAX_MESSAGE_BYTES:
        raise ValueError(
            f'the message "{name}" has {len(line) - 1} bytes, and at most {MAX_MESSAGE_BYTES} can be sent: '
            "send it in parts"
        )
    return line


def _plain(value: Any) -> Any:
    """Numbers and arrays of numpy are what they look like."""
    if callable(getattr(value, "tolist", None)):
        return value.tolist()
    raise TypeError(f"this is a {type(value).__name__}: {repr(value)[:80]}")


def _post(lines: bytes) -> None:
    """Writes whole lines, at once or, where the channel is full, as soon as it is not."""
    global _unsent
    from _socket import MSG_DONTWAIT, MSG_NOSIGNAL

    channel = _channel()
    _flush()
    with _sending:
        left = memoryview(_unsent + lines if _unsent else lines)
        try:
            while left:
                try:
                    left = left[channel.send(left, MSG_DONTWAIT | MSG_NOSIGNAL) :]
                except BlockingIOError:
                    from select import select

                    if not select([], [channel], [], FULL_SECONDS)[1]:
                        raise TimeoutError(
                            f"the message channel is full, and nothing was taken from it for {FULL_SECONDS:g} s"
                        ) from None
                except ConnectionError:
                    left = left[:0]
                    raise ConnectionError("the message channel is closed: nobody takes messages any more") from None
        finally:
            _unsent = bytes(left)


# Receiving


def _receive() -> bool:
    """Reads what has come, without waiting for it; whether anything had. The caller holds the lock."""
    global _part, _ended
    if _ended or len(_inbox) >= MAX_HELD_EVENTS:
        return False
    from _socket import MSG_DONTWAIT

    try:
        part = _channel().recv(READ_BYTES, MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except ConnectionError:
        part = b""
    if not part:
        _ended = True
        return False
    *lines, _part = (_part + part).split(b"\n")
    if lines:
        import json

        _inbox[:0] = [json.loads(line) for line in reversed(lines)]
    return True


def _is_move(event: dict[str, Any]) -> bool:
    return event.get("event") == "mousemove"


def _take(coalesce: bool) -> dict[str, Any] | None:
    """The next event if there is one already."""
    with _receiving:
        while not _inbox:
            if not _receive():
                return None
        event = _inbox.pop()
        if coalesce and _is_move(event):
            for _ in range(MAX_HELD_EVENTS):
                if not _inbox and not _receive():
                    break
                if _inbox:
                    if not _is_move(_inbox[-1]):
                        break
                    event = _inbox.pop()
    _tell(event)
    return event


def _tell(event: dict[str, Any]) -> None:
    for watcher in _watchers:
        watcher(event)


def _wait_readable(until: float | None) -> bool:
    """Waits until something can be read, or the time has come; whether it is the former."""
    from select import select

    left = None if until is None else max(0.0, until - monotonic())
    return bool(select([_channel()], [], [], left)[0])


def _next(until: float | None, coalesce: bool) -> dict[str, Any] | None:
    _flush()
    while (event := _take(coalesce)) is None:
        if _ended or not _wait_readable(until):
            return None
    return event


async def _next_async(timeout: float | None, coalesce: bool) -> dict[str, Any] | None:
    import asyncio

    _flush()
    loop = asyncio.get_running_loop()
    until = None if timeout is None else monotonic() + timeout
    while (event := _take(coalesce)) is None:
        if _ended:
            return None
        readable = asyncio.Event()
        # Each waits on a number of its own, so that several may.
        number = os.dup(_channel().fileno())
        loop.add_reader(number, readable.set)
        try:
            left = None if until is None else max(0.0, until - monotonic())
            await asyncio.wait_for(readable.wait(), left)
        except asyncio.TimeoutError:
            return None
        finally:
            loop.remove_reader(number)
            os.close(number)
    return event


def _is_async() -> bool:
    """Whether this is called from a coroutine."""
    asyncio = sys.modules.get("asyncio.events")
    return asyncio is not None and asyncio._get_running_loop() is not None


def next_event(timeout: float | None = None, *, coalesce: bool = False) -> Any:
    """The next event. Waits for it, at most ``timeout`` seconds; None where none came, or none can come any more.

    With ``coalesce``, of mouse moves that have come one after another only the last is given.
    """
    global _is_iterated
    _is_iterated = True
    if _is_async():
        return _next_async(timeout, coalesce)
    return _next(None if timeout is None else monotonic() + timeout, coalesce)


def poll(*, coalesce: bool = False) -> dict[str, Any] | None:
    """The next event if there is one already, else None."""
    global _is_iterated
    _is_iterated = True
    _flush()
    return _take(coalesce)


class _Events:
    """Events as they come, for ``for`` and ``async for``."""

    def __init__(self, coalesce: bool) -> None:
        self._coalesce = coalesce

    def __iter__(self) -> _Events:
        return self

    def __aiter__(self) -> _Events:
        return self

    def __next__(self) -> dict[str, Any]:
        event = _next(None, self._coalesce)
        if event is None:
            raise StopIteration
        return event

    async def __anext__(self) -> dict[str, Any]:
        event = await _next_async(None, self._coalesce)
        if event is None:
            raise StopAsyncIteration
        return event


def events(*, coalesce: bool = False) -> _Events:
    """The events, as they come."""
    global _is_iterated
    _is_iterated = True
    return _Events(coalesce)


# Handlers


def on(name: str, handler: Callable[[Any], Any] | None = None) -> Any:
    """Has ``handler`` called with the data of each event of this name, while the program is in ``run()``.

    Also as a decorator: ``@livecode.on("click")``.
    """
    if handler is None:
        return lambda handler: on(name, handler)
    if not callable(handler):
        raise TypeError(f"the handler of {name!r} must be a function, not {handler!r}")
    _handlers.setdefault(name, []).append(handler)
    return handler


def off(name: str, handler: Callable[[Any], Any]) -> None:
    """Takes a handler back."""
    _handlers.get(name, []).remove(handler)


def run(*, coalesce: bool = False) -> Any:
    """Waits for events and calls their handlers, until ``stop()`` is called or no event can come any more."""
    global _is_stopped
    _is_stopped = False
    if _is_async():
        return _run_async(coalesce)
    while not _is_stopped and (event := _next(None, coalesce)) is not None:
        for handler in tuple(_handlers.get(event["event"], ())):
            handler(event.get("data"))
    return None


async def _run_async(coalesce: bool) -> None:
    while not _is_stopped and (event := await _next_async(None, coalesce)) is not None:
        for handler in tuple(_handlers.get(event["event"], ())):
            answer = handler(event.get("data"))
            if hasattr(answer, "__await__"):
                await answer


def stop() -> None:
    """Ends ``run()``, once the handler that calls this is through."""
    global _is_stopped
    _is_stopped = True


def _handle(until: float) -> None:
    """Calls the handlers of what has come and of what comes until a time: for loops that pace themselves.

    An event without a handler stays for ``next_event()`` where the program uses that, and is dropped where not. Does
    nothing when called by a handler, so that none is interrupted by another.
    """
    global _is_handling
    if _is_handling:
        return
    _is_handling = True
    kept: list[dict[str, Any]] = []
    try:
        while True:
            with _receiving:
                if not _inbox:
                    _receive()
                event = _inbox.pop() if _inbox else None
            if event is None:
                if monotonic() >= until:
                    return
                if _ended or len(kept) >= MAX_HELD_EVENTS:
                    from time import sleep

                    sleep(max(0.0, until - monotonic()))
                else:
                    _wait_readable(until)
                continue
            handlers = tuple(_handlers.get(event["event"], ()))
            if handlers or not _is_iterated:
                _tell(event)
                for handler in handlers:
                    handler(event.get("data"))
            else:
                kept.append(event)
    finally:
        with _receiving:
            _inbox.extend(reversed(kept))
        _is_handling = False


def show(what: Any, *, format: str | None = None) -> None:
    """Shows a picture or a table.

    A picture is a figure of matplotlib, an image of Pillow, the bytes of a PNG or SVG, or the path of such a file;
    ``format`` is ``"png"`` or ``"svg"`` where there is a choice. A table is a DataFrame or Series of pandas.
    """
    from livecode_show import show

    show(what, format)
