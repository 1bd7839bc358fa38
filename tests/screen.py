"""A terminal of our own: what is written to it, as a user sees it."""

import fcntl
import os
import pty
import struct
import termios
import time
from select import select

import pyte


class Screen:
    """A pseudo-terminal and the screen behind it. `slave` is the file descriptor that a program writes to."""

    def __init__(self, columns=100, lines=24):
        self._master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self.raw = b""

    def read(self, seconds=0.0):
        """Show what was written, waiting so long for it; False when there was nothing, or nobody writes any more."""
        ready, _, _ = select([self._master], [], [], seconds)
        try:
            data = os.read(self._master, 1 << 16) if ready else b""
        except OSError:  # all writers are gone
            data = b""
        self.raw += data
        self._stream.feed(data)
        return bool(data)

    def read_until(self, true, limit=60.0):
        end = time.monotonic() + limit
        while not true():
            assert time.monotonic() < end, "\n".join(self.lines)
            self.read(0.1)

    @property
    def lines(self):
        while self.read():
            pass
        return [line.rstrip() for line in self._screen.display if line.strip()]

    @property
    def text(self):
        return "\n".join(self.lines)

    @property
    def is_cursor_shown(self):
        self.read()
        return not self._screen.cursor.hidden

    @property
    def cursor(self):
        self.read()
        return self._screen.cursor.y, self._screen.cursor.x

    def close(self):
        os.close(self._master)
        os.close(self.slave)
