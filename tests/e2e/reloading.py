# SPDX-License-Identifier: BSD-2-Clause
"""For tests of reloads: a configuration file, the program that reads it, and a slow name server."""
import contextlib
import json
import re
import socket

from control import command
from router import BINARY
from sockets import free_port
from waiting import SCALE


class Config:
    """A configuration file that a test rewrites, and the program that reads it."""

    def __init__(self, lab, directory, **values):
        self.lab, self.path = lab, directory / "alpnbpf.conf"
        self.port = free_port()
        self.values = {"listen": f"127.0.0.1:{self.port}", "no-bypass": "yes", "dataplane": "user", "log-level": "debug",
                       "name": f"reload-{self.port}", **values}
        self.write()

    def write(self, **values):
        self.values.update({name.replace("_", "-"): value for name, value in values.items()})
        lines = []
        for name, value in self.values.items():
            lines += [f"{name} = {one}" for one in (value if isinstance(value, list) else [value]) if one is not None]
        self.path.write_text("\n".join(lines) + "\n")

    def start(self, *more, names=None, **options):
        """names: the name server it asks."""
        options.setdefault("listen", [("127.0.0.1", self.port)])
        line = [BINARY, "attach", "--config", str(self.path), *more]
        self.router = self.lab.router("", "", command_line=names.command_line(*line) if names else line, **options)
        return self.router

    def begin_reload(self, **values):
        """The command that asks for it, not waited for."""
        self.write(**values)
        return self.lab.child(BINARY, "reload", "--name", self.values["name"])

    def reload(self, **values):
        """Reloads; returns what changed."""
        self.write(**values)
        code, out, error = command("reload", "--name", self.values["name"])
        assert code == 0, error
        return out.strip()

    def refused(self, **values):
        """Reloads; returns why that was refused."""
        before, line = dict(self.values), len(self.router.lines())
        self.write(**values)
        code, out, error = command("reload", "--name", self.values["name"])
        assert code == 1 and out == "" and error.startswith("alpnbpf reload: ")
        reason = error.removeprefix("alpnbpf reload: ").strip()
        self.router.wait_line("error reload failed, keeping the running configuration: " + re.escape(reason), start=line)
        self.values = before
        return reason

    def status(self):
        code, out, error = command("status", "--json", "--name", self.values["name"])
        assert code == 0, error
        return json.loads(out)


class Names:
    """A name server that answers only on request of the test."""

    def __init__(self, directory):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 53))
        self.directory = directory
        self.questions = []

    def command_line(self, *command):
        """The command, with only this name server."""
        path = self.directory / "resolv.conf"
        path.write_text("nameserver 127.0.0.1\noptions timeout:15 attempts:1\n")
        return ["unshare", "--mount", "sh", "-c", f"mount --bind {path} /etc/resolv.conf && exec \"$@\"", "sh", *command]

    def wait_asked(self, timeout=5):
        """Waits for both questions, one per address family."""
        self.sock.settimeout(timeout * SCALE)
        while len(self.questions) < 2:
            self.questions.append(self.sock.recvfrom(512))

    def answer(self):
        """Answers 127.0.0.1."""
        for question, peer in self.questions:
            end = question.index(b"\0", 12) + 5
            is_a = question[end - 4:end - 2] == b"\0\1"
            answer = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x7f\0\0\1" if is_a else b""
            self.sock.sendto(question[:2] + b"\x81\x80\0\1" + bytes([0, is_a]) + b"\0\0\0\0" + question[12:end] + answer,
                             peer)
        self.questions = []

    def close(self):
        self.sock.close()


@contextlib.contextmanager
def slow_names(directory):
    names = Names(directory)
    try:
        yield names
    finally:
        names.close()
