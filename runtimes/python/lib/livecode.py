"""Messages from a program to whoever watches it, and events back.

    import livecode

    livecode.send("draw", shape="circle", args=[100, 100, 50])
    for event in livecode.events():
        print(event["event"], event["data"])

A message is a JSON object with a ``msgtype``; the names of LiveCode's own messages (``write``, ``exitstatus`` and the
like) are refused. An event is a dictionary with ``event``, its name, and ``data``.
"""

import json
import os
import select
import sys

__all__ = ["events", "next_event", "send"]

_fd = None
_held = b""


def _channel():
    """The number of the message channel."""
    global _fd
    if _fd is None:
        try:
            _fd = int(os.environ["LIVECODE_FD"])
        except (KeyError, ValueError):
            raise RuntimeError("there is no message channel: this program does not run in LiveCode") from None
    return _fd


def send(msgtype, **fields):
    """Sends a message. What was printed before it arrives before it."""
    line = json.dumps({"msgtype": msgtype, **fields}, separators=(",", ":")).encode() + b"\n"
    channel = _channel()
    sys.stdout.flush()
    sys.stderr.flush()
    while line:
        line = line[os.write(channel, line) :]


def next_event(timeout=None):
    """The next event. Waits for it, at most ``timeout`` seconds; None where none came, or none can come any more."""
    global _held
    channel = _channel()
    sys.stdout.flush()
    while b"\n" not in _held:
        if timeout is not None and not select.select([channel], [], [], timeout)[0]:
            return None
        part = os.read(channel, 65536)
        if not part:
            return None
        _held += part
    line, _, _held = _held.partition(b"\n")
    return json.loads(line)


def events():
    """The events, as they come."""
    while (event := next_event()) is not None:
        yield event
