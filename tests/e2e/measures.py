# SPDX-License-Identifier: BSD-2-Clause
"""
What tests measure. A figure that other load on the machine would change is compared with one taken in the same conditions;
the others, CPU time and the runs of a kernel worker, are counted by the kernel.
"""
import contextlib
import os
import re

import pytest

from netns import open_directory, run
from waiting import now, pause


def cpu_share(router, seconds=1.0):
    """The share of one CPU that the program uses. A thread that spins gets a third at least, even beside two busy loops."""
    began, before = now(), router.cpu_seconds()
    pause(seconds)
    return (router.cpu_seconds() - before) / (now() - began)


def round_trips(client, server, count=200):
    """The median time of a question and its answer, in seconds."""
    times = []
    for number in range(count):
        began = now()
        client.send(b"ping %06d" % number)
        assert server.read(11) == b"ping %06d" % number
        server.send(b"pong %06d" % number)
        assert client.read(11) == b"pong %06d" % number
        times.append(now() - began)
    return sorted(times)[count // 2]


class BacklogRuns:
    """How often kernel workers run to send on what a sockmap has redirected, on the whole machine."""

    EVENT = "events/workqueue/workqueue_execute_start"

    def __init__(self, directory):
        self.directory = directory
        with open("/proc/kallsyms") as file:
            address = re.search(r"^(\w+) t sk_psock_backlog$", file.read(), re.MULTILINE).group(1)
        self._write("buffer_size_kb", "64")
        self._write(f"{self.EVENT}/filter", f"function == 0x{address}")
        self._write(f"{self.EVENT}/enable", "1")

    def _write(self, name, value):
        with open(os.path.join(self.directory, name), "w") as file:
            file.write(value)

    def count(self):
        """Since the beginning."""
        total = 0
        for cpu in os.listdir(os.path.join(self.directory, "per_cpu")):
            with open(os.path.join(self.directory, "per_cpu", cpu, "stats")) as file:
                found = dict(line.split(": ") for line in file.read().splitlines())
            total += int(found["entries"]) + int(found["overrun"])
        return total

    def close(self):
        self._write(f"{self.EVENT}/enable", "0")


@contextlib.contextmanager
def backlog_runs():
    """Skips the test if the kernel does not report it."""
    root = open_directory()
    try:
        run("mount", "-t", "tracefs", "none", root)
    except RuntimeError as error:
        pytest.skip(f"what kernel workers do cannot be told: {error}")
    instance = os.path.join(root, "instances", f"e2e-{os.getpid()}")
    os.mkdir(instance)
    try:
        runs = BacklogRuns(instance)
        yield runs
        runs.close()
    finally:
        os.rmdir(instance)
        run("umount", root)
