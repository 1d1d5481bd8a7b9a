# SPDX-License-Identifier: BSD-2-Clause
"""Nothing waits for a reader: of the log, or of the service manager's socket."""
import os
import re
import signal
import socket
import threading

import pytest

from control import status
from hellos import acme_hello, https_hello
from waiting import now, wait_until

HELLO, WEB = acme_hello(), https_hello()


def a_pipe():
    return os.pipe()


def a_unix_socket():
    """As the journal's."""
    return tuple(end.detach() for end in socket.socketpair())


class StalledLog:
    """The program's stderr, of which nobody reads anything."""

    def __init__(self, kind):
        self.reader, self.writer = kind()

    def prefix(self):
        return ["bash", "-c", f'exec "$@" 2>&{self.writer} {self.writer}>&-', "bash"]

    def read(self):
        """All that was written, once the program has ended."""
        os.close(self.writer)
        parts = []
        while part := os.read(self.reader, 1 << 20):
            parts.append(part)
        os.close(self.reader)
        return b"".join(parts).decode()


@pytest.mark.parametrize("kind", [a_pipe, a_unix_socket])
def test_a_log_that_nobody_reads(lab, kind):
    """Validations and visitors are served, the control socket answers; the lines that were lost are counted and told."""
    acme, https = lab.backends()
    log = StalledLog(kind)
    router = lab.failing_router(acme, https, "--workers", "1", listen=[("127.0.0.1", 9443)], prefix=log.prefix(),
                                pass_fds=[log.writer])
    router.expected_exit = 0
    wait_until(lambda: ready(router), 15, "it serves")
    served = 0
    for served in range(1, 3001):
        client, server = lab.session(router, HELLO, acme)
        for peer in (client, server):
            peer.close()
        lab.peers.clear()
        if served % 100 == 0 and status(router)["events"]["log_lines_lost"] > 100:
            break
    lost = status(router)["events"]["log_lines_lost"]
    assert lost > 100, f"nothing lost in {served} validations"
    visitor = lab.session(router, WEB, https)
    reader = threading.Thread(target=lambda: lab.__setattr__("log_text", log.read()))
    router.terminate()
    for peer in visitor:
        peer.close()
    reader.start()
    router.finish()
    reader.join()
    lines = lab.log_text.splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\S+Z (error|warn|info|debug) ", line) for line in lines), "lines are glued"
    told = [int(found) for found in re.findall(r"warn (\d+) lines? of the log could not be written: its reader is too slow",
                                               lab.log_text)]
    totals = dict(re.findall(r"(\w+)=(\d+)", " ".join(line for line in lines if " totals: " in line)))
    assert sum(told) >= lost and int(totals["log_lines_lost"]) >= lost


def test_a_service_manager_that_does_not_read(lab, manager):
    """It is told nothing for a while, and keeps nobody waiting; what it must know reaches it once it reads."""
    acme, https = lab.backends()
    manager.fill()
    router = lab.router(acme, https, env=manager.env)
    router.wait_line(r'warn the service manager does not read its socket \S+: "READY=1" is sent when it does')
    slowest = 0
    for _ in range(3):
        start = len(router.lines())
        router.process.send_signal(signal.SIGHUP)
        began = now()
        assert status(router)["state"] == "running"
        slowest = max(slowest, now() - began)
        wait_until(lambda: router.find("reloaded: ", start), 5, "a reload")
    assert slowest < 0.5, f"the control socket answered after {slowest:.2f} s"
    client, server = lab.session(router, WEB, https)
    for peer in (client, server):
        peer.close()
    order = [manager.wait(name) for name in ("READY=1", "STATUS=", "RELOADING=1", "READY=1")]
    assert order[1].startswith("STATUS=serving: ")
    assert not router.find("was not sent")


def ready(router):
    try:
        return status(router)["state"] == "running"
    except (AssertionError, FileNotFoundError):  # the control socket is not there yet
        assert router.running()
        return False
