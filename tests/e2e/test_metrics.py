# SPDX-License-Identifier: BSD-2-Clause
"""Metrics: fetched by curl, checked by promtool; that they count correctly; and invalid requests."""
import itertools
import json
import os
import re
import socket
import subprocess

import pytest

from control import status
from hellos import acme_hello, https_hello, noise
from router import ROOT
from sockets import free_port
from waiting import wait_until


def scrape(port):
    """{"name{labels}": value}"""
    text = subprocess.run(["curl", "-sfS", f"http://127.0.0.1:{port}/metrics"], check=True, capture_output=True,
                          text=True, timeout=30).stdout
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


@pytest.fixture
def stage(lab):
    """(router, the port of its metrics, acme, https)"""
    acme, https = lab.backends()
    port = free_port()
    return lab.router(acme, https, "--metrics", port, plane="auto"), port, acme, https


def test_promtool_has_nothing_to_say(lab, stage):
    router, port, acme, https = stage
    client, server = lab.session(router, https_hello(), https)
    text = subprocess.run(["curl", "-sfS", f"http://127.0.0.1:{port}/metrics"], check=True, capture_output=True,
                          timeout=30).stdout
    result = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, timeout=30)
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")
    assert text.count(b"# HELP alpnbpf_") == text.count(b"# TYPE alpnbpf_") > 20
    client.close()
    server.close()


def test_they_count_what_happens(lab, stage):
    router, port, acme, https = stage
    for hello, backend in ((https_hello(), https), (acme_hello(), acme)):
        client, server = lab.session(router, hello, backend)
        live = scrape(port)
        assert live['alpnbpf_sessions{route="https"}'] + live['alpnbpf_sessions{route="acme"}'] == 1
        server.send(b"answer")
        assert client.read(6) == b"answer"
        client.send(b"finished")
        assert server.read(8) == b"finished"
        server.close()
        assert client.read_to_end() == b""
        client.close()
        router.closed(client)
    after = scrape(port)
    for route in ("https", "acme"):
        for name in ("sessions", "backend_connections"):
            assert after[f'alpnbpf_{name}_total{{route="{route}"}}'] == 1
        assert after[f'alpnbpf_hellos_total{{result="{route}"}}'] == 1
    assert after['alpnbpf_sessions_ended_total{cause="done"}'] == after["alpnbpf_connections_accepted_total"] == 2
    assert after['alpnbpf_acme_validations_total{outcome="seen_through"}'] == 1
    moved = after['alpnbpf_bytes_total{path="user"}'] + after['alpnbpf_bytes_total{path="kernel"}']
    assert moved == len(https_hello()) + len(acme_hello()) + 2 * len("answerfinished")
    info = [name for name in after if name.startswith("alpnbpf_build_info")]
    assert len(info) == 1 and 'dataplane="auto"' in info[0] and 'mode="front"' in info[0]
    assert after["process_open_fds"] <= router.descriptors() + 1 and after["process_max_fds"] > 100


def test_the_dashboard_asks_for_what_there_is(lab, ground):
    """Every metric and label in it exists in a scrape, and every counter is shown as a rate."""
    port = free_port()
    ground.attach("--metrics", port, inspect="watch")
    metrics = {re.split("[{ ]", name)[0] for name in scrape(port)}
    labels = {label for name in scrape(port) for label in re.findall(r'(\w+)="', name)}
    with open(os.path.join(ROOT, "tools", "grafana", "alpnbpf.json")) as file:
        board = json.load(file)
    used = set()
    for panel in board["panels"]:
        assert panel["title"] and panel["targets"] and panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        for target in panel["targets"]:
            names = set(re.findall(r"(?:alpnbpf|process)_\w+", target["expr"]))
            assert names and names <= metrics, names - metrics
            used |= names
            assert set(re.findall(r"by \((\w+)\)", target["expr"])) <= labels
            for name in names:
                assert not name.endswith("_total") or re.search(rf"(rate|increase)\({name}", target["expr"])
    unused = metrics - used - {
        "alpnbpf_build_info", "alpnbpf_workers", "alpnbpf_takeovers_without_trace", "alpnbpf_takeovers_possible", "alpnbpf_sandbox",
        "alpnbpf_connections_accepted_total", "alpnbpf_backend_connections_total", "alpnbpf_reloads_total",
        "alpnbpf_reload_errors_total"}
    assert not unused


def test_counters_never_go_back(lab, stage):
    """A live session's bytes are counted, and only once after it has ended."""
    router, port, _, https = stage
    last = {}
    for _ in range(20):
        client, server = lab.session(router, https_hello(), https)
        server.send(b"x" * 5000)
        assert client.read(5000)
        for moment in range(2):
            now = scrape(port)
            back = [name for name in last if "_total" in name and now[name] < last[name]]
            assert not back, f"{back} went back"
            last = now
            client.close()
            server.close()
    wait_until(lambda: status(router)["sessions"]["now"] == 0, 5, "the end of the sessions")
    final = scrape(port)
    moved = final['alpnbpf_bytes_total{path="user"}'] + final['alpnbpf_bytes_total{path="kernel"}']
    assert moved == 20 * (5000 + len(https_hello()))


def test_over_a_unix_socket(lab):
    acme, https = lab.backends()
    path = lab.socket_path("metrics.sock")
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(path)  # as a killed process leaves it
    stale.close()
    router = lab.router(acme, https, "--metrics", f"unix:{path}")
    text = subprocess.run(["curl", "-sfS", "--unix-socket", path, "http://localhost/metrics"], check=True,
                          capture_output=True, text=True).stdout
    assert "alpnbpf_workers" in text
    router.finish()
    assert not os.path.exists(path)


def request(port, data):
    with socket.create_connection(("127.0.0.1", port), 10) as peer:
        peer.sendall(data)
        answer = b""
        while part := peer.recv(65536):
            answer += part
        return answer.decode()


@pytest.mark.parametrize("data,first", ids=itertools.count(), argvalues=[
    (b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK"),
    (b"GET /metrics?x=1 HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK"),
    (b"HEAD /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK"),
    (b"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found"),
    (b"GET /metricsandmore HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found"),
    (b"POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 405 Method Not Allowed"),
    (b"GET /metrics\r\n\r\n", "HTTP/1.1 400 Bad Request"),
    (b"GET /metrics HTTP/2.0\r\n\r\n", "HTTP/1.1 400 Bad Request"),
    (b"\r\n\r\n", "HTTP/1.1 400 Bad Request"),
    (noise(3000, "metrics").replace(b"\r\n", b"  ") + b"\r\n\r\n", "HTTP/1.1 400 Bad Request"),
    (b"GET /metrics HTTP/1.1\r\nX: " + b"y" * 5000, "HTTP/1.1 431 Request Header Fields Too Large"),
])
def test_requests(stage, data, first):
    router, port, *_ = stage
    head, _, body = request(port, data).partition("\r\n\r\n")
    assert head.split("\r\n")[0] == first
    length = int(re.search(r"Content-Length: (\d+)", head).group(1))
    assert len(body) == (0 if data.startswith(b"HEAD") else length) and length > 0
    assert status(router)["state"] == "running"


def test_anybody_may_ask_and_hinders_nobody(stage):
    """Whoever can connect to the metrics takes no place of the control socket's, nor keeps the metrics from others."""
    router, port, *_ = stage
    crowd = []
    try:
        for number in range(300):
            crowd.append(socket.create_connection(("127.0.0.1", port), 5))
            if number % 2:
                crowd[-1].sendall(b"GET /metrics HTTP/1.1\r\n\r\n")  # and never reads
            if number % 10 == 0:
                assert status(router)["state"] == "running"
        assert request(port, b"GET /metrics HTTP/1.0\r\n\r\n").startswith("HTTP/1.1 200 OK")
        assert router.descriptors() < 60
    finally:
        for peer in crowd:
            peer.close()


def test_a_port_that_is_taken(lab):
    acme, https = lab.backends()
    router = lab.failing_router(acme, https, "--metrics", https.endpoint, listen=[("127.0.0.1", free_port())])
    assert router.wait() == 1
    assert router.find(rf"--metrics: cannot listen on {https.endpoint}: .*\(pid {os.getpid()}\)")
