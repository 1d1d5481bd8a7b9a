# SPDX-License-Identifier: BSD-2-Clause
"""Backends: that refuse, reset, close early or come back; every form of their address. All on both data planes."""
import re
import threading

import pytest

from control import status
from hellos import acme_hello, https_hello
from netns import run
from pattern import Pattern
from sockets import Listener, Peer, free_port
from stream_thread import exchange, sending
from waiting import now, wait_until

HELLO = https_hello()
SIZE = 5 * (1 << 20) + 123
UP, DOWN = Pattern("up").bytes(0, SIZE), Pattern("down").bytes(0, SIZE)


def done(router, client, up, down):
    """The session of this client ended in order and the log counted every byte."""
    closed = router.closed(client)
    assert (closed.cause, closed.up, closed.down) == ("done", up, down)
    return closed


# Backends that misbehave.

def test_backend_that_accepts_and_resets(lab, plane):
    acme, https = lab.backends()
    router = lab.router(acme, https, plane=plane)
    client = lab.connect(router)
    client.send(HELLO)
    https.accept().reset()
    assert client.outcome() == "reset"
    assert router.closed(client).cause == "backend_reset"


def test_web_server_that_resets_everybody_does_not_harm_validations(lab, plane):
    """The connection made ahead of the hello may end at once; that must not affect a validation."""
    acme, https = lab.backends()
    router = lab.router(acme, https, plane=plane)
    stopped = threading.Event()

    def reset_all():
        while not stopped.is_set():
            if https.pending(timeout=0.05):
                Peer(https.sock.accept()[0]).reset()

    thread = threading.Thread(target=reset_all)
    thread.start()
    try:
        for _ in range(100):
            client, server = lab.session(router, acme_hello(), acme)
            server.send(b"answer").close()
            assert client.read_to_end() == b"answer"
            client.close()
    finally:
        stopped.set()
        thread.join()


def test_backend_that_closes_in_mid_stream(lab, plane):
    """What it sent before arrives, to the byte."""
    acme, https = lab.backends()
    router = lab.router(acme, https, plane=plane)
    client, server = lab.session(router, HELLO, https)
    with sending(server, DOWN, then_close=True):
        assert client.read_to_end() == DOWN
    client.close()
    done(router, client, len(HELLO), SIZE)


def test_backend_that_refuses(lab, plane):
    """Retried within --connect-timeout, then the client is reset."""
    router = lab.router(lab.listener(), ("127.0.0.1", free_port()), "--connect-timeout", "1s", plane=plane)
    started = now()
    client = lab.connect(router)
    client.send(HELLO)
    assert client.outcome() == "reset"
    assert 0.7 < now() - started < 5, "not the 5 s of the default"
    assert router.closed(client).cause == "connect_failed"


def test_backend_that_comes_back_in_time(lab, plane):
    """Visitors do not notice a restart of the web server."""
    port = free_port()
    router = lab.router(lab.listener(), ("127.0.0.1", port), "--connect-timeout", "1m", plane=plane)
    clients = [lab.connect(router) for _ in range(5)]
    for client in clients:
        client.send(HELLO)
    wait_until(lambda: status(router)["events"]["connect_retries"] > 5, 5, "that each has been tried")
    https = Listener(port=port)
    lab.listeners.append(https)
    for _ in clients:
        server = https.accept()
        assert server.read(len(HELLO)) == HELLO
        server.send(b"here again").close()
    for client in clients:
        assert client.read_to_end() == b"here again"
        client.close()


# Addresses of backends.

@pytest.mark.parametrize("form", ["port", "port6", "host", "v4", "v6", "unix"])
def test_forms_of_a_backend(lab, plane, form):
    if form == "unix":
        https = lab.listener(path=lab.socket_path("web.sock"))
    else:
        https = lab.listener(host="::1" if form in ("v6", "port6") else "127.0.0.1")
    backend = {"port": str, "port6": str, "host": lambda port: f"localhost:{port}"}.get(
        form, lambda port: https.endpoint)(getattr(https, "port", None))
    router = lab.router(lab.listener(), backend, plane=plane)
    client, server = lab.session(router, HELLO, https)
    exchange(client, server, UP, DOWN)
    closed = done(router, client, len(HELLO) + SIZE, SIZE)
    if form == "unix":  # no TCP there: such a session is relayed in user space
        assert closed.up_kernel == closed.down_kernel == 0


def test_several_listeners(lab, plane):
    acme, https = lab.backends()
    ports = [free_port() for _ in range(3)]
    router = lab.router(acme, https, listen=[("127.0.0.1", ports[0]), ("127.0.0.2", ports[1]), ("::1", ports[2])],
                        plane=plane)
    for address in router.listen:
        client = lab.connect(address)
        client.send(HELLO)
        assert https.accept().read(len(HELLO)) == HELLO


def test_several_workers(lab, plane):
    """Sessions of all threads at once."""
    acme, https = lab.backends()
    router = lab.router(acme, https, "--workers", "4", plane=plane)
    sessions = [lab.session(router, HELLO, https) for _ in range(64)]
    for number, (client, server) in enumerate(sessions):
        client.send(b"%04d" % number)
        assert server.read(4) == b"%04d" % number
        server.send(b"%04d" % number).close()
    for number, (client, _) in enumerate(sessions):
        assert client.read_to_end() == b"%04d" % number
        client.close()
        done(router, client, len(HELLO) + 4, 4)


def test_no_pacing_on_this_machine(lab, plane):
    """If the default congestion control is BBR, a connection to a local web server uses reno; else the default."""
    with open("/proc/sys/net/ipv4/tcp_congestion_control") as file:
        default = file.read().strip()
    acme, https = lab.backends()
    router = lab.router(acme, https, plane=plane)
    lab.session(router, HELLO, https)
    shown = run("ss", "-Htin", "state", "established", f"dport = {https.port}")
    assert re.search(rf"\b{'reno' if default.startswith('bbr') else default}\b", shown), shown
