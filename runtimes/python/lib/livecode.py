"""Messages from a program to whoever watches it, and events back.

    import livecode

    livecode.send("draw", shape="circle", args=[100, 100, 50])
    for event in livecode.events():
        print(event["event"], event["data"])

A message is a JSON object with a ``msgtype``; the names of LiveCode's own messages (``write``, ``exitstatus`` and the
like) are refused. An event is a dictionary with ``event``, its name, and ``data``.
"""

# Hints stay text, and json and select are imported when first needed: programs that send nothing start no later.
from __future__ import annotations

import os
import sys
from _thread import allocate_lock
from time import monotonic

__all__ = ["events", "next_event", "poll", "send"]

_sending = allocate_lock()  # lines of several threads must not mix
_receiving = allocate_lock()
_held = b""


def _channel() -> int:
    """The number of the message channel, a stream socket."""
    try:
        return int(os.environ["LIVECODE_FD"])
    except (KeyError, ValueError):
        raise RuntimeError("there is no message channel: this program does not run in LiveCode") from None


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


def send(msgtype: str | dict, **fields) -> None:
    """Sends a message, given as its ``msgtype`` and further fields, or whole as a dictionary.

    What was printed before it arrives before it.
    """
    import json

    channel = _channel()
    message = {**msgtype, **fields} if isinstance(msgtype, dict) else {"msgtype": msgtype, **fields}
    line = json.dumps(message, separators=(",", ":"), allow_nan=False).encode() + b"\n"
    _flush()
    with _sending:
        while line:
            line = line[os.write(channel, line) :]


def next_event(timeout: float | None = None) -> dict | None:
    """The next event. Waits for it, at most ``timeout`` seconds; None where none came, or none can come any more."""
    global _held
    import json
    import select

    channel = _channel()
    _flush()
    until = None if timeout is None else monotonic() + timeout
    with _receiving:
        while b"\n" not in _held:
            left = None if until is None else max(0.0, until - monotonic())
            if not select.select([channel], [], [], left)[0]:
                return None
            part = os.read(channel, 65536)
            if not part:
                return None
            _held += part
        line, _, _held = _held.partition(b"\n")
    return json.loads(line)


def poll() -> dict | None:
    """The next event if there is one already, else None."""
    return next_event(timeout=0)


def events():
    """The events, as they come."""
    while (event := next_event()) is not None:
        yield event
