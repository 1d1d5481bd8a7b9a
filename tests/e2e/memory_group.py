# SPDX-License-Identifier: BSD-2-Clause
"""A control group for the memory of one program: kernel memory that it causes is charged there, too."""
import os
import re

import pytest


def _own_path(controller):
    """Where this process is in the hierarchy of this controller; "" is version 2."""
    with open("/proc/self/cgroup") as file:
        for line in file:
            _, names, path = line.rstrip("\n").split(":", 2)
            if controller in names.split(","):
                return path
    return None


def _mounted(pattern):
    with open("/proc/self/mounts") as file:
        found = re.search(pattern, file.read(), re.MULTILINE)
    return found and found.group(1)


class MemoryGroup:
    def __init__(self):
        version1 = _mounted(r"^\S+ (\S+) cgroup \S*\bmemory\b")
        root = version1 or _mounted(r"^\S+ (\S+) cgroup2 ")
        if not root:
            pytest.skip("no control group of memory is mounted")
        self.path = os.path.join(root, (_own_path("memory" if version1 else "") or "/").lstrip("/"), f"e2e-{os.getpid()}")
        self._usage, self._limit = ("memory.usage_in_bytes", "memory.limit_in_bytes") if version1 else ("memory.current", "memory.max")
        try:
            os.mkdir(self.path)
        except OSError as error:
            pytest.skip(f"no control group can be made: {error}")
        if not os.path.exists(os.path.join(self.path, self._limit)):
            os.rmdir(self.path)
            pytest.skip("the control group has no memory controller")

    def prefix(self):
        """A prefix for a command that runs in it."""
        return ["sh", "-c", f'echo $$ >{self.path}/cgroup.procs && exec "$@"', "sh"]

    def add(self, pid):
        """Moves a process into it; what it has already stays charged to its former group."""
        with open(os.path.join(self.path, "cgroup.procs"), "w") as file:
            file.write(str(pid))

    def usage(self):
        with open(os.path.join(self.path, self._usage)) as file:
            return int(file.read())

    def limit(self, size):
        with open(os.path.join(self.path, self._limit), "w") as file:
            file.write(str(size))

    def close(self):
        os.rmdir(self.path)  # all that ran in it has ended
