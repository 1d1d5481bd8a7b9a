# SPDX-License-Identifier: BSD-2-Clause
"""`alpnbpf trace`: a line per session with its hello and outcome; no cost without followers; followers that do not read."""
import json
import os
import re
import socket

import pytest

from control import command, dial, name_of, path_of, status
from hellos import acme_hello, https_hello
from router import BINARY, is_sanitized
from sockets import free_port
from waiting import SCALE, now, wait_until


def watch(lab, router, *options):
    """A trace that has started."""
    others = status(router)["watchers"]
    trace = lab.child(BINARY, "trace", "--json", "--name", name_of(router), *options)
    wait_until(lambda: status(router)["watchers"] == others + 1, 5, "the watcher")
    return trace


def records(trace, client):
    """Those of a client."""
    lines = [json.loads(line) for line in trace.lines()]
    return [record for record in lines if record["client"].endswith(f":{client.local[1]}")]


def record_of(trace, client):
    return wait_until(lambda: records(trace, client), 5, "the line of the client")[0]


@pytest.fixture(params=["user", "auto", "sockmap"])
def stage(lab, request):
    """(router, acme, https)"""
    acme, https = lab.backends()
    return lab.router(acme, https, "--hello-timeout", "1s", plane=request.param), acme, https


def test_what_it_says(lab, stage):
    router, acme, https = stage
    trace = watch(lab, router)
    web, server = lab.session(router, https_hello(), https)
    record = record_of(trace, web)
    assert record["sni"] == "www.example.test" and record["alpn"] == ["h2", "http/1.1"]
    assert (record["hello"], record["route"], record["outcome"]) == ("https", "https", "connected")
    assert record["backend"] == https.endpoint and 0 <= record["seconds"] < 5
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record["time"])
    validator, responder = lab.session(router, acme_hello(), acme)
    record = record_of(trace, validator)
    assert (record["alpn"], record["route"], record["backend"]) == (["acme-tls/1"], "acme", acme.endpoint)
    for peer in (web, server, validator, responder):
        peer.close()


def test_hellos_that_come_in_pieces_or_not_at_all(lab, stage):
    router, acme, https = stage
    trace = watch(lab, router)
    split = lab.connect(router)
    split.send_split(acme_hello(), 50)
    assert acme.accept().read(len(acme_hello())) == acme_hello()
    assert record_of(trace, split)["sni"] == "www.example.test"
    silent = lab.connect(router)
    assert silent.outcome() == "reset"
    record = record_of(trace, silent)
    assert (record["hello"], record["route"], record["outcome"]) == (None, "undecided", "hello_silent")
    assert 1 <= record["seconds"] < 5
    gone = lab.connect(router)
    gone.finish_sending()
    assert record_of(trace, gone)["outcome"] == "client_left"


def test_backends_that_are_not_there(lab):
    _, https = lab.backends()
    dead = f"127.0.0.1:{free_port()}"
    router = lab.router(dead, https)
    trace = watch(lab, router)
    validator, server = lab.session(router, acme_hello(), https)
    record = record_of(trace, validator)
    assert (record["route"], record["outcome"], record["backend"]) == ("https", "fallback", https.endpoint)
    validator.close()
    server.close()
    router = lab.router(dead, dead, "--connect-timeout", "300ms")
    text = lab.child(BINARY, "trace", "--name", name_of(router))
    wait_until(lambda: [lab.connect(router).send(https_hello()).outcome(), text.lines()][1], 10, "a line")
    assert re.fullmatch(r"\S+Z 127\.0\.0\.1:\d+ sni=www\.example\.test alpn=h2,http/1\.1 hello=https route=https "
                        r"backend=- connect_failed after 0\.[3-9]\d+ s", text.lines()[0])


def test_one_route_only(lab):
    acme, https = lab.backends()
    router = lab.router(acme, https)
    everything = watch(lab, router)
    some = watch(lab, router, "--route", "acme")
    seen = wait_until(lambda: validate(lab, router, acme) and some.lines(), 10, "a validation")
    client, server = lab.session(router, https_hello(), https)
    record_of(everything, client)
    assert {json.loads(line)["route"] for line in seen + some.lines()} == {"acme"}
    code, _, error = command("trace", "--route", "gopher", "--name", name_of(router))
    assert code == 1 and error == "alpnbpf trace: no such route\n"
    client.close()
    server.close()


def validate(lab, router, acme):
    client, server = lab.session(router, acme_hello(), acme)
    server.close()
    client.close()
    return True


def test_more_watchers_than_there_may_be(lab, stage):
    router, *_ = stage
    watchers = [dial(path_of(name_of(router))) for _ in range(5)]
    answers = []
    for watcher in watchers:
        watcher.sendall(b"trace text\n")
        answers.append(watcher.recv(100).decode())
    assert answers == ["ok\n"] * 4 + ["error: too many traces are running; the limit is 4\n"]
    assert status(router)["state"] == "running"
    watchers[0].close()
    wait_until(lambda: command("status", "--ready", "--name", name_of(router))[0] == 0, 5)
    late = dial(path_of(name_of(router)))
    late.sendall(b"trace text\n")
    assert late.recv(100) == b"ok\n"
    for watcher in [*watchers, late]:
        watcher.close()


def test_a_watcher_that_does_not_read(lab):
    """It costs bounded memory and no session; a note counts the lines it missed."""
    acme, https = lab.backends()
    router = lab.router(acme, https, plane="user", log_level="info")
    with socket.socket(socket.AF_UNIX) as watcher:
        watcher.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        watcher.settimeout(20 * SCALE)
        watcher.connect(path_of(name_of(router)))
        watcher.sendall(b"trace text\n")
        assert watcher.recv(3) == b"ok\n"
        sent = 0
        begin = router.rss_bytes()
        while sent < 4000:
            client, server = lab.session(router, https_hello(), https)
            client.reset()
            server.close()
            sent += 1
        assert router.rss_bytes() - begin < 8 << 20 or is_sanitized()
        text = b""
        deadline = now() + 20 * SCALE
        # The next hello after there is room again brings the note.
        while b"lines dropped" not in text and now() < deadline:
            watcher.setblocking(False)
            try:
                while part := watcher.recv(1 << 16):
                    text += part
            except BlockingIOError:
                pass
            client, server = lab.session(router, https_hello(), https)
            client.reset()
            server.close()
        assert re.search(rb"\((\d+) lines dropped: reader too slow\)", text)


def test_nobody_watches(lab, stage):
    """No records are made: the socket pair stays empty, and nothing is sent."""
    router, _, https = stage
    calls = os.path.join(str(lab.directory), "calls")
    strace = lab.child("strace", "-f", "-e", "trace=sendto", "-o", calls, "-p", str(router.workers_pid))
    strace.wait_line("attached")
    client, server = lab.session(router, https_hello(), https)
    server.send(b"x")
    assert client.read(1) == b"x"
    client.close()
    server.close()
    router.closed(client)
    strace.stop()
    with open(calls) as file:
        sizes = [int(size) for size in re.findall(r"sendto\(.*\) = (\d+)", file.read())]
    assert max(sizes, default=0) <= len(https_hello())
