"""Sends messages from a program to its viewers, and receives events from them.

    import livecode

    livecode.send("draw", shape="circle", args=[100, 100, 50])
    for event in livecode.events():
        print(event["event"], event["data"])

A message is a JSON object with a ``msgtype``. The names of LiveCode's own messages (``write``,
``exitstatus`` and others) are reserved. An event is a dictionary with ``event``, its name, and
``data``.

In a coroutine the same functions are awaited: ``async for event in livecode.events()``,
``await livecode.next_event()``, ``await livecode.run()``.
"""

# Type hints are not evaluated, and modules are imported when they are first needed, so that a
# program that sends nothing starts as fast as without this module.
from __future__ import annotations

import os
import sys
from _thread import allocate_lock
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["events", "getpass", "next_event", "off", "on", "poll", "run", "send", "show", "stop"]

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
# Names of the server's own messages.
RESERVED = frozenset(
    (
        "welcome pong goodbye write exitstatus error ack gap waiting queued case cases testresult"
        " echo diagnostic resize"
    ).split()
)
# A send fails if the channel is full and nothing is read from it for this time.
SEND_TIMEOUT_SECONDS = 5.0
# Events that are kept for a program that reads none. Further events wait at the server, which
# reports this to their sender.
MAX_QUEUED_EVENTS = 10_000
READ_BYTES = 65536

_send_lock = allocate_lock()  # keeps the lines of several threads apart
_receive_lock = allocate_lock()
_channel_socket: tuple[int, Any] | None = None  # the descriptor in LIVECODE_FD, and its socket
_unsent = b""  # the rest of a message whose send failed midway
_encode_json: Callable[[Any], str] | None = None

_partial_line = b""  # the beginning of an event that has not arrived completely
_inbox: list[dict[str, Any]] = []  # events that have arrived, the next one last
_ended = False
_handlers: dict[str, list[Callable[[Any], Any]]] = {}
_watchers: list[Callable[[dict[str, Any]], None]] = []  # called with each event before all others
_is_iterated = False  # whether the program reads events itself, so that no event may be dropped
_is_handling = False
_is_stopped = False


def _channel() -> Any:
    """The message channel, a stream socket."""
    global _channel_socket
    try:
        number = int(os.environ["LIVECODE_FD"])
    except (KeyError, ValueError):
        raise RuntimeError("there is no message channel: this program does not run in LiveCode") from None
    if _channel_socket is None or _channel_socket[0] != number:
        from _socket import socket

        try:
            # The socket object gets a duplicate, since it closes its descriptor in the end.
            _channel_socket = number, socket(fileno=os.dup(number))
        except OSError as error:
            raise RuntimeError(f"the message channel, descriptor {number}, is no socket: {error.strerror}") from None
    return _channel_socket[1]


def _flush() -> None:
    """Flushes the standard streams, so that output arrives before a later message."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not stream.closed:
            stream.flush()


# Sending


def send(msgtype: str | dict[str, Any], **fields: Any) -> None:
    """Sends a message, given as its ``msgtype`` and further fields, or as one dictionary.

    Output that was printed earlier also arrives earlier.
    """
    if isinstance(msgtype, dict):
        fields = {**msgtype, **fields}
    else:
        fields = {"msgtype": msgtype, **fields}
    _post(_line(fields))


def _line(message: dict[str, Any]) -> bytes:
    """Encodes a message as a line. Raises an exception if a program may not send it."""
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
    """Converts numbers and arrays of numpy to plain values."""
    if callable(getattr(value, "tolist", None)):
        return value.tolist()
    raise TypeError(f"this is a {type(value).__name__}: {repr(value)[:80]}")


def _post(lines: bytes) -> None:
    """Writes complete lines. If the channel is full, waits until it has room."""
    global _unsent
    from _socket import MSG_DONTWAIT, MSG_NOSIGNAL, socket

    channel = duplicate = _channel()
    _flush()
    with _send_lock:
        left = memoryview(_unsent + lines if _unsent else lines)
        try:
            # Only a send on the descriptor itself keeps its place in the output.
            number = int(os.environ["LIVECODE_FD"])
            if os.path.sameopenfile(number, duplicate.fileno()):
                channel = socket(fileno=number)
        except OSError:
            pass  # the program has closed the descriptor
        try:
            while left:
                try:
                    left = left[channel.send(left, MSG_DONTWAIT | MSG_NOSIGNAL) :]
                except BlockingIOError:
                    from select import select

                    if not select([], [channel], [], SEND_TIMEOUT_SECONDS)[1]:
                        raise TimeoutError(
                            f"the message channel is full, and nothing was read from it for {SEND_TIMEOUT_SECONDS:g} s"
                        ) from None
                except ConnectionError:
                    left = left[:0]
                    raise ConnectionError("the message channel is closed: messages can no longer be sent") from None
        finally:
            _unsent = bytes(left)
            if channel is not duplicate:
                channel.detach()  # so that the descriptor stays open


# Receiving


def _receive() -> bool:
    """Reads available events without waiting. Returns whether there were any bytes.

    The caller must hold ``_receive_lock``.
    """
    global _partial_line, _ended
    if _ended or len(_inbox) >= MAX_QUEUED_EVENTS:
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
    *lines, _partial_line = (_partial_line + part).split(b"\n")
    if lines:
        import json

        _inbox[:0] = [json.loads(line) for line in reversed(lines)]
    return True


def _is_move(event: dict[str, Any]) -> bool:
    return event.get("event") == "mousemove"


def _take(coalesce: bool) -> dict[str, Any] | None:
    """Returns the next event if one has arrived."""
    with _receive_lock:
        while not _inbox:
            if not _receive():
                return None
        event = _inbox.pop()
        if coalesce and _is_move(event):
            for _ in range(MAX_QUEUED_EVENTS):
                if not _inbox and not _receive():
                    break
                if _inbox:
                    if not _is_move(_inbox[-1]):
                        break
                    event = _inbox.pop()
    _notify_watchers(event)
    return event


def _notify_watchers(event: dict[str, Any]) -> None:
    for watcher in _watchers:
        watcher(event)


def _wait_readable(until: float | None) -> bool:
    """Waits until the channel is readable or until the time ``until``.

    Returns whether it is readable.
    """
    from select import select

    left = None if until is None else max(0.0, until - monotonic())
    return bool(select([_channel()], [], [], left)[0])


def _next(until: float | None, coalesce: bool) -> dict[str, Any] | None:
    """Waits for the next event, at most until the time ``until``."""
    _flush()
    while (event := _take(coalesce)) is None:
        if _ended or not _wait_readable(until):
            return None
    return event


async def _next_async(timeout: float | None, coalesce: bool) -> dict[str, Any] | None:
    """Waits for the next event in a coroutine, at most ``timeout`` seconds."""
    import asyncio

    _flush()
    loop = asyncio.get_running_loop()
    until = None if timeout is None else monotonic() + timeout
    while (event := _take(coalesce)) is None:
        if _ended:
            return None
        readable = asyncio.Event()
        # Each call waits on a duplicate of the descriptor, so that several calls can wait at once.
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
    """Whether the caller runs in a coroutine."""
    asyncio = sys.modules.get("asyncio.events")
    return asyncio is not None and asyncio._get_running_loop() is not None


def next_event(timeout: float | None = None, *, coalesce: bool = False) -> Any:
    """Waits for the next event, at most ``timeout`` seconds.

    Returns None if none arrives in time, or if no event can arrive any more. With ``coalesce``, of
    successive mouse moves only the last is returned.
    """
    global _is_iterated
    _is_iterated = True
    if _is_async():
        return _next_async(timeout, coalesce)
    return _next(None if timeout is None else monotonic() + timeout, coalesce)


def poll(*, coalesce: bool = False) -> dict[str, Any] | None:
    """Returns the next event if one has arrived, otherwise None."""
    global _is_iterated
    _is_iterated = True
    _flush()
    return _take(coalesce)


class _Events:
    """The events in order of arrival, as an iterator for ``for`` and ``async for``."""

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
    """Iterates over the events in order of arrival."""
    global _is_iterated
    _is_iterated = True
    return _Events(coalesce)


# Handlers


def on(name: str, handler: Callable[[Any], Any] | None = None) -> Any:
    """Calls ``handler`` with the data of each event of this name during ``run()``.

    Can also be used as a decorator: ``@livecode.on("click")``.
    """
    if handler is None:
        return lambda handler: on(name, handler)
    if not callable(handler):
        raise TypeError(f"the handler of {name!r} must be a function, not {handler!r}")
    _handlers.setdefault(name, []).append(handler)
    return handler


def off(name: str, handler: Callable[[Any], Any]) -> None:
    """Removes a handler."""
    _handlers.get(name, []).remove(handler)


def run(*, coalesce: bool = False) -> Any:
    """Calls the handlers of events until ``stop()`` is called or no event can arrive any more."""
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
    """Ends ``run()`` as soon as the handler that calls this has returned."""
    global _is_stopped
    _is_stopped = True


def _handle(until: float) -> None:
    """Calls the handlers of all events until the time ``until``.

    The canvas uses this, so that handlers are called while a program draws its frames in a loop.
    An event without a handler is kept if the program reads events with ``next_event()`` or the
    like, and dropped otherwise. A call from within a handler does nothing, so that no handler
    interrupts another.
    """
    global _is_handling
    if _is_handling:
        return
    _is_handling = True
    kept: list[dict[str, Any]] = []
    try:
        while True:
            with _receive_lock:
                if not _inbox:
                    _receive()
                event = _inbox.pop() if _inbox else None
            if event is None:
                if monotonic() >= until:
                    return
                if _ended or len(kept) >= MAX_QUEUED_EVENTS:
                    from time import sleep

                    sleep(max(0.0, until - monotonic()))
                else:
                    _wait_readable(until)
                continue
            handlers = tuple(_handlers.get(event["event"], ()))
            if handlers or not _is_iterated:
                _notify_watchers(event)
                for handler in handlers:
                    handler(event.get("data"))
            else:
                kept.append(event)
    finally:
        with _receive_lock:
            _inbox.extend(reversed(kept))
        _is_handling = False


# Input


def getpass(prompt: str = "Password: ", stream: Any = None) -> str:
    """Asks for a line that is kept nowhere, such as a password, and returns it.

    In a session that keeps what is typed, this line is left out, for all who watch.
    """
    _post(b'{"msgtype":"echo","keep":false}\n')
    try:
        stream = sys.stdout if stream is None else stream
        stream.write(prompt)
        stream.flush()
        line = sys.stdin.readline()
        # As on a terminal, where the newline is not shown either.
        stream.write("\n")
        stream.flush()
    finally:
        # The line may have been typed before. Then the next one is not to be left out in its place.
        _post(b'{"msgtype":"echo","keep":true}\n')
    if not line:
        raise EOFError
    return line[:-1] if line.endswith("\n") else line


def show(what: Any, *, format: str | None = None) -> None:
    """Shows a picture or a table.

    A picture is a figure of matplotlib, an image of Pillow, the bytes of a PNG or SVG, or the path
    of such a file. ``format`` can be ``"png"`` or ``"svg"`` if both are possible. A table is a
    DataFrame or Series of pandas.
    """
    from livecode_show import show

    show(what, format)
