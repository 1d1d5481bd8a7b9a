# SPDX-License-Identifier: BSD-2-Clause
"""Child processes: keeps their output, waits for conditions, ends them by pid and with the test process."""
import ctypes
import os
import re
import signal
import subprocess
import threading

from waiting import SCALE, now, wait_until

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def _begin():
    """Dead with us; and whatever started the tests (nohup, a shell's &), no signal is ignored from the beginning."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)


class Child:
    """A process whose combined output is read by a thread as it comes."""

    def __init__(self, *command, name=None, env=None, stdin=subprocess.DEVNULL, cwd=None, pass_fds=()):
        self.name = name or os.path.basename(command[0])
        self._lines = []
        self._lock = threading.Condition()
        self.process = subprocess.Popen(
            command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=cwd,
            env={**os.environ, **(env or {})}, pass_fds=pass_fds, preexec_fn=_begin)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self):
        return self.process.pid

    def _read(self):
        for raw in self.process.stdout:
            with self._lock:
                self._lines.append(raw.decode("utf-8", "replace").rstrip("\n"))
                self._lock.notify_all()

    def lines(self):
        with self._lock:
            return list(self._lines)

    def text(self):
        return "\n".join(self.lines())

    def running(self):
        return self.process.poll() is None

    def find(self, pattern, start=0):
        """The first line from `start` on that matches, as a match object, or None."""
        regex = re.compile(pattern)
        for line in self.lines()[start:]:
            match = regex.search(line)
            if match:
                return match
        return None

    def wait_line(self, pattern, timeout=10.0, start=0):
        """Wait for a line from `start` on; fails at once, with the process's output, if the process exits before."""
        deadline = now() + timeout * SCALE
        with self._lock:
            seen = start
            regex = re.compile(pattern)
            while True:
                for line in self._lines[seen:]:
                    match = regex.search(line)
                    if match:
                        return match
                seen = len(self._lines)
                ended = not self._reader.is_alive() or self.process.poll() is not None
                if ended and not self._reader.is_alive():
                    break
                if now() >= deadline:
                    break
                self._lock.wait(0.05)
        state = "still runs" if self.running() else f"ended with {self.process.returncode}"
        raise AssertionError(f"{self.name} {state} without a line like /{pattern}/:\n{self.text()[-4000:]}")

    def wait(self, timeout=10.0):
        """The exit code."""
        try:
            code = self.process.wait(timeout * SCALE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} still runs after {timeout * SCALE:g} s:\n{self.text()[-4000:]}") from None
        self._reader.join(5 * SCALE)
        return code

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self, timeout=5.0):
        """Ends it, with TERM first; for helpers whose exit code does not matter."""
        if self.running():
            self.process.terminate()
            try:
                self.process.wait(timeout * SCALE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._reader.join(5)
        self.process.stdout.close()

    # What the kernel knows about it.

    def cpu_seconds(self):
        return cpu_seconds_of(self.pid)

    def rss_bytes(self):
        return rss_bytes_of(self.pid)

    def descriptors(self):
        return descriptors_of(self.pid)


def cpu_seconds_of(pid):
    """User and system time of all threads of a process, to the nanosecond."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/schedstat") as file:
                total += int(file.read().split()[0])
        except FileNotFoundError:
            continue  # a thread that just ended
    return total / 1e9


def rss_bytes_of(pid):
    with open(f"/proc/{pid}/status") as file:
        return int(re.search(r"VmRSS:\s+(\d+) kB", file.read()).group(1)) * 1024


def descriptors_of(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


def ours(pid):
    """The processes of the program besides the main one, which is `pid`."""
    return [child for child in children_of(pid) if comm_of(child) in ("alpnbpf-workers", "alpnbpf-repair")]


def others(pid):
    """Its other children: the command, and orphans."""
    return [child for child in children_of(pid) if child not in ours(pid)]


def comm_of(pid):
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip()
    except FileNotFoundError:  # it has just ended
        return None


def wait_port(address, child=None, timeout=10.0):
    """Wait until something accepts connections at address (host, port)."""
    import socket

    def accepts():
        if child is not None and not child.running():
            raise AssertionError(f"{child.name} ended with {child.process.returncode}:\n{child.text()[-4000:]}")
        try:
            socket.create_connection(address, 1).close()
            return True
        except OSError:
            return False

    wait_until(accepts, timeout, f"a listener on {address[0]}:{address[1]}", poll=0.02)
