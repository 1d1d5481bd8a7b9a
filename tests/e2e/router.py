# SPDX-License-Identifier: BSD-2-Clause
"""
The program under test as a child process: its command line, its readiness, and its log lines about sessions.
"""
import os
import re
import signal
from dataclasses import dataclass

from children import Child, children_of, comm_of, cpu_seconds_of, descriptors_of, rss_bytes_of, wait_port
from waiting import wait_until

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.path.abspath(os.environ.get("ALPNBPF", os.path.join(ROOT, "alpnbpf")))

SANITIZER = re.compile(r"AddressSanitizer|LeakSanitizer|UndefinedBehaviorSanitizer|runtime error:")
CLOSED = re.compile(r"session (\d+) closed: client (\S+) route (\S+) (cause=.*)$")


@dataclass
class Closed:
    """The debug log's line about a session that ended."""
    client: str
    route: str
    cause: str
    values: dict

    @property
    def up(self):
        return self.values["up_kernel"] + self.values["up_user"]

    @property
    def down(self):
        return self.values["down_kernel"] + self.values["down_user"]

    def __getattr__(self, name):
        try:
            return self.__dict__["values"][name]
        except KeyError:
            raise AttributeError(name) from None


def parse_closed(line):
    match = CLOSED.search(line)
    if not match:
        return None
    pairs = dict(pair.split("=", 1) for pair in match.group(4).split() if "=" in pair)
    values = {key: int(value) for key, value in pairs.items() if value.isdigit()}
    return Closed(match.group(2), match.group(3), pairs["cause"], values)


def endpoint(backend):
    """A BACKEND argument from a listener, an address tuple, a port or a ready string."""
    if hasattr(backend, "endpoint"):
        return backend.endpoint
    if isinstance(backend, tuple):
        host, port = backend[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return str(backend)


def is_sanitized():
    """A sanitizer keeps freed memory for a while, to find later uses: the memory in use cannot be measured."""
    with open(BINARY, "rb") as file:
        return b"__asan_init" in file.read()


class Router(Child):
    """
    `alpnbpf attach`; ready when the constructor returns, unless wait=False. Without `plane` in user space: the kernel checks
    the programs of the others for as long as most tests take.
    """

    def __init__(self, acme, https, *options, listen=(), plane="user", log_level="debug", prefix=(), env=None,
                 wait=True, bypass=False, command_line=None, pass_fds=()):
        self.listen = [tuple(address) for address in listen]
        command = [*prefix, BINARY, "attach", "--acme", endpoint(acme), "--https", endpoint(https)]
        for address in self.listen:
            command += ["--listen", endpoint(address)]
        command += ["--dataplane", plane, "--log-level", log_level, *map(str, options)]
        if command_line:
            command = command_line
        elif not bypass:  # most tests are about the sessions that go through the program
            command.append("--no-bypass")
        self.expected_exit = 0
        self.ended = False
        super().__init__(*command, name="alpnbpf", env=env, pass_fds=pass_fds)
        self.log_level = log_level
        if wait:
            self.wait_ready()

    def wait_ready(self):
        try:
            if self.log_level in ("info", "debug"):
                self.wait_line(r"\bready\b", 15)
            else:  # it does not say so
                for address in self.listen:
                    wait_port(address, self, 15)
        except AssertionError:
            super().stop()
            self.ended = True
            raise

    @property
    def workers_pid(self):
        """The process of the workers: `pid` is the main one."""
        found = [pid for pid in children_of(self.pid) if comm_of(pid) == "alpnbpf-workers"]
        assert len(found) == 1, f"processes of the workers: {found}\n{self.text()[-2000:]}"
        return found[0]

    # Of both processes, or of that of the workers.

    def cpu_seconds(self):
        return super().cpu_seconds() + cpu_seconds_of(self.workers_pid)

    def rss_bytes(self):
        return super().rss_bytes() + rss_bytes_of(self.workers_pid)

    def descriptors(self):
        return descriptors_of(self.workers_pid)

    def address(self, family=4):
        """The address for clients."""
        for host, port in self.listen or [("127.0.0.1", 443), ("::1", 443)]:
            if (":" in host) == (family == 6):
                return host, port
        raise LookupError(f"no IPv{family} listener")

    def sessions(self, since=0):
        """All sessions whose end the log tells, from line `since` on."""
        return [closed for closed in map(parse_closed, self.lines()[since:]) if closed]

    def closed(self, client, timeout=5.0):
        """
        The closing line of the session of a client socket, an address tuple, or a port. Ports come again, over loopback
        within a second: what the log had before a client connected is not about it.
        """
        since = getattr(client, "log_line", 0)
        if hasattr(client, "local"):
            client = client.local
        name = endpoint(client) if isinstance(client, tuple) else f":{client}"

        def find():
            return next((c for c in reversed(self.sessions(since)) if c.client.endswith(name)), None)

        return wait_until(find, timeout, f"the log line of the session of client {name}")

    def totals(self):
        """The counters of the lines at exit; of several that are one row of the table, those that are not 0."""
        totals = re.findall(r" totals: (.*)$", self.text(), re.MULTILINE)
        assert totals, "no totals line at exit:\n" + self.text()[-2000:]
        return {key: int(value) for line in totals for key, value in re.findall(r"(\w+)=(\d+)", line)}

    def terminate(self):
        self.signal(signal.SIGTERM)

    def finish(self, timeout=10.0):
        """Sends TERM, and checks what must hold at the end of every run: no session left, exit code, no sanitizer report."""
        if self.ended:
            return
        self.ended = True
        if self.running():
            self.terminate()
        try:
            code = self.wait(timeout)
        except AssertionError:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            text = self.text()
            assert not SANITIZER.search(text), "sanitizer report:\n" + text[-6000:]
        assert code == self.expected_exit, f"alpnbpf ended with {code}:\n{text[-3000:]}"

    def abandon(self):
        """Ends the program after a failed test, without checks."""
        self.ended = True
        if self.running():
            self.process.kill()
        self.process.wait()
