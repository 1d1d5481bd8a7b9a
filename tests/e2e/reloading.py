# SPDX-License-Identifier: BSD-2-Clause
"""A program that reads a configuration file, and the file, for tests of reloads."""
import json
import re

from conftest import free_port
from control import command
from router import BINARY


class Config:
    """A configuration file that a test rewrites, and the program that reads it."""

    def __init__(self, lab, directory, **values):
        self.lab, self.path = lab, directory / "alpnbpf.conf"
        self.port = free_port()
        self.values = {"listen": f"127.0.0.1:{self.port}", "no-bypass": "yes", "log-level": "debug",
                       "name": f"reload-{self.port}", **values}
        self.write()

    def write(self, **values):
        self.values.update({name.replace("_", "-"): value for name, value in values.items()})
        lines = []
        for name, value in self.values.items():
            lines += [f"{name} = {one}" for one in (value if isinstance(value, list) else [value]) if one is not None]
        self.path.write_text("\n".join(lines) + "\n")

    def start(self, *more, **options):
        options.setdefault("listen", [("127.0.0.1", self.port)])
        self.router = self.lab.router("", "", command_line=[BINARY, "attach", "--config", str(self.path), *more],
                                      **options)
        return self.router

    def reload(self, **values):
        """What it says has changed."""
        self.write(**values)
        code, out, error = command("reload", "--name", self.values["name"])
        assert code == 0, error
        return out.strip()

    def refused(self, **values):
        """Why it is not reloaded."""
        before, line = dict(self.values), len(self.router.lines())
        self.write(**values)
        code, out, error = command("reload", "--name", self.values["name"])
        assert code == 1 and out == "" and error.startswith("alpnbpf reload: ")
        reason = error.removeprefix("alpnbpf reload: ").strip()
        self.router.wait_line("error not reloaded, all goes on as before: " + re.escape(reason), start=line)
        self.values = before
        return reason

    def status(self):
        code, out, error = command("status", "--json", "--name", self.values["name"])
        assert code == 0, error
        return json.loads(out)
