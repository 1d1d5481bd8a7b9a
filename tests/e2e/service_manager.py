# SPDX-License-Identifier: BSD-2-Clause
"""A service manager as a service sees it: the other end of NOTIFY_SOCKET."""
import os
import select
import socket

from netns import open_directory
from waiting import SCALE


class Manager:
    """`env` is for the program."""

    def __init__(self):
        self.path = os.path.join(open_directory(), "notify")
        self.env = {"NOTIFY_SOCKET": self.path}
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        os.chmod(self.path, 0o666)

    def close(self):
        self.socket.close()

    def fill(self):
        """The queue of its socket, of which nobody reads anything: what the program sends does not fit any more."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.connect(self.path)
            other.setblocking(False)
            try:
                while True:
                    other.send(b"X_FULL=1")
            except BlockingIOError:
                pass

    def wait(self, start):
        """The next message with this prefix."""
        self.socket.settimeout(10 * SCALE)
        while True:
            message = self.socket.recv(4096).decode()
            if message.startswith(start):
                return message

    def forget(self):
        """Discards the messages so far."""
        while self.hears_within(0):
            pass

    def hears_within(self, seconds):
        if not select.select([self.socket], [], [], seconds)[0]:
            return None
        return self.socket.recv(4096).decode()
