# SPDX-License-Identifier: BSD-2-Clause
"""
Descriptors that others pass to sockets of alpnbpf's, where nobody receives them: closing one of a TCP connection with SO_LINGER
may take years, in the process that closes it.
"""
import os
import signal
import socket
import struct

import pytest

from control import path_of, name_of, status
from hellos import https_hello
from in_place import ACME

SO_PASSRIGHTS = 83  # Linux 6.16


@pytest.fixture(autouse=True)
def _refusable():
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.getsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS)
        except OSError:
            pytest.skip("this kernel has no SO_PASSRIGHTS")


@pytest.fixture(name="lingering")
def _lingering():
    """A connection whose close() waits: its queue is full, and nobody reads."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as sock:
        sock.connect(listener.getsockname())
        reader, _ = listener.accept()
        sock.setblocking(False)
        try:
            while True:
                sock.send(bytes(1 << 20))
        except BlockingIOError:
            pass
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 100))
        yield sock
        reader.close()  # nobody waits any longer
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def passes(to, sock):
    try:
        socket.send_fds(to, [b"x"], [sock.fileno()])
    except PermissionError:
        return False
    return True


def test_to_main(lab, tmp_path, lingering):
    """The lock, the control socket, metrics: it still answers."""
    metrics = str(tmp_path / "metrics")
    tmp_path.chmod(0o755)
    router = lab.router(ACME, 443, "--metrics", f"unix:{metrics}", listen=(), bypass=True)
    for place in ("\0alpnbpf/in-place/443", path_of(name_of(router)), metrics):
        with socket.socket(socket.AF_UNIX) as client:
            os.kill(router.pid, signal.SIGSTOP)  # it accepts after that
            client.connect(place)
            assert not passes(client, lingering)
            os.kill(router.pid, signal.SIGCONT)
    assert status(router)["state"] == "running"


def test_to_a_worker(lab, lingering):
    """From a backend at a unix socket."""
    acme, web = lab.listener(), lab.listener(path=str(lab.directory / "web"))
    router = lab.router(acme, web, "--workers", "1")
    _, server = lab.session(router, https_hello(), web)
    assert not passes(server.sock, lingering)
    for peer in lab.session(router, https_hello(), web):
        peer.close()
