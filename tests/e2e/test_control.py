# SPDX-License-Identifier: BSD-2-Clause
"""The control socket: what status and sessions report, which users may use it, and that bad requests disturb nothing."""
import itertools
import json
import os
import re
import resource
import shutil
import socket
import stat

import pytest

from control import ask, command, dial, name_of, path_of, read_all, sessions, status
from in_place import responder
from hellos import acme_hello, https_hello, noise
from netns import open_directory
from pattern import Pattern
from router import BINARY
from stopped import stopped
from test_metrics import request
from sockets import free_port
from waiting import SCALE, wait_until


@pytest.fixture
def stage(lab):
    """(router, acme, https), on the user plane: its bytes are known to be user space's."""
    acme, https = lab.backends()
    return lab.router(acme, https, plane="user"), acme, https


# status and sessions

def test_status_counts_what_happens(lab, stage):
    router, acme, https = stage
    before = status(router)
    assert before["state"] == "running" and before["version"] and before["pid"] == router.pid
    assert before["sessions"]["now"] == before["sessions"]["total"] == 0
    assert [route["state"] for route in before["routes"]] == ["unknown", "unknown"]
    hello, data = https_hello(), Pattern("status").bytes(0, 100_000)
    client, server = lab.session(router, hello, https)
    validator, responder = lab.session(router, acme_hello(), acme)
    server.send(data)
    assert client.read(len(data)) == data
    now = wait_until(lambda: (s := status(router))["bytes"]["user"] >= len(hello) + len(data) and s, 5, "the bytes")
    assert now["sessions"]["now"] == now["sessions"]["total"] == 2 and now["sessions"]["limit"] > 100
    assert now["hellos"]["https"] == now["hellos"]["acme"] == 1
    routes = {route["name"]: route for route in now["routes"]}
    assert routes["https"]["backend"] == https.endpoint and routes["acme"]["backend"] == acme.endpoint
    for route in routes.values():
        assert route["state"] == "up" and route["sessions"] == route["sessions_total"] == 1
    for peer in (client, validator, server, responder):
        peer.close()
    wait_until(lambda: status(router)["sessions"]["now"] == 0, 5, "the end of the sessions")
    after = status(router)
    assert after["bytes"] == {"kernel": 0, "user": len(hello) + len(acme_hello()) + len(data), "trimmed": 0}
    assert sum(after["ends"].values()) == sum(after["validations"].values()) + 1 == 2
    assert after["uptime_seconds"] > before["uptime_seconds"] and after["complete"]
    assert 10 < after["descriptors"]["open"] <= router.descriptors() + 1 < after["descriptors"]["limit"]


def test_status_of_a_backend_that_is_down(lab):
    acme, https = lab.backends()
    dead = free_port()
    router = lab.router(f"127.0.0.1:{dead}", https)
    client, _ = lab.session(router, acme_hello(), https)  # it falls back
    route = {route["name"]: route for route in status(router)["routes"]}["acme"]
    assert route["state"] == "down" and route["error"] == "Connection refused" and route["connect_failures_total"] == 1
    text = command("status", "--name", name_of(router))[1]
    assert re.search(rf"^route +acme -> 127\.0\.0\.1:{dead}: down, .*Connection refused$", text, re.MULTILINE)
    client.close()


def test_text_and_json_say_the_same(stage):
    router, *_ = stage
    code, text, _ = command("status", "--name", name_of(router))
    facts = status(router)
    assert code == 0
    assert f"pid {facts['pid']}, running" in text and facts["mode"] in text and facts["dataplane"] in text
    assert f"{facts['sessions']['limit']} at most" in text


def test_sessions_lists_each(lab, stage):
    router, acme, https = stage
    assert sessions(router) == []
    client, server = lab.session(router, https_hello(), https)
    silent = lab.connect(router)
    silent.send(b"\x16")  # the rest of this hello comes later
    wait_until(lambda: len(sessions(router)) == 2, 5, "two sessions")
    first, second = sorted(sessions(router), key=lambda session: session["state"] != "open")
    assert first["client"] == f"127.0.0.1:{client.local[1]}" and first["backend"] == https.endpoint
    assert (first["route"], first["state"], first["path"]) == ("https", "open", "user")
    assert first["sni"] == "www.example.test"
    assert first["up"] == {"kernel": 0, "user": len(https_hello()), "owed": 0}
    assert 0 <= first["idle_seconds"] <= first["age_seconds"] < 30
    assert (second["route"], second["state"], second["backend"]) == ("undecided", "hello", None)
    table = command("sessions", "--name", name_of(router))[1].splitlines()
    assert table[0].split()[:4] == ["SESSION", "CLIENT", "STATE", "ROUTE"] and len(table) == 3
    silent.reset()
    for peer in (client, server):
        peer.close()
    wait_until(lambda: sessions(router) == [], 5, "no session")


def test_server_names_are_known_on_the_sockmap_plane(lab):
    acme, https = lab.backends()
    router = lab.router(acme, https, plane="sockmap")
    client, server = lab.session(router, https_hello(), https)
    (session,) = sessions(router)
    assert (session["sni"], session["path"]) == ("www.example.test", "kernel")
    client.close()
    server.close()


def test_armed_says_by_whom(ground):
    """The process, while it is visible, which needs capabilities that are dropped later; then its user."""
    with responder() as acme:
        router = ground.attach()
        assert f"(pid {os.getpid()}) at {acme.endpoint}" in status(router)["armed"]["by"]
        router.finish()
    router = ground.attach()
    assert status(router)["armed"] == {"now": False} and "in place" in status(router)["mode"]
    with responder() as acme:
        armed = wait_until(lambda: (a := status(router)["armed"]).get("by") and a, 5, "armed")
        assert armed["by"] == f"{acme.endpoint}, of uid {os.getuid()}" and armed["seconds"] < 10
    wait_until(lambda: status(router)["armed"] == {"now": False}, 5, "disarmed")


def test_watch_goes_on(lab, stage):
    router, *_ = stage
    watcher = lab.child(BINARY, "status", "--json", "--watch", "--name", name_of(router))
    wait_until(lambda: len(watcher.lines()) >= 2, 5, "two looks")
    assert all(json.loads(line)["pid"] == router.pid for line in watcher.lines())


def test_a_worker_that_hangs(lab):
    """Answers that need its counters say that they are incomplete; all others come at once."""
    acme, https = lab.backends()
    metrics = free_port()
    router = lab.router(acme, https, "--workers", 2, "--metrics", metrics)
    name = name_of(router)
    with stopped(router.workers_pid, "worker 1"):
        asked = lab.child(BINARY, "status", "--json", "--name", name)
        answers = 0
        while asked.running():
            assert command("status", "--ready", "--name", name)[0] == 0
            answers += asked.running()
        assert answers
        assert asked.wait() == 0 and json.loads(asked.text())["complete"] is False
        assert request(metrics, b"GET /metrics HTTP/1.1\r\n\r\n").startswith("HTTP/1.1 503 ")
        code, _, error = command("sessions", "--name", name)
        assert code == 1 and "a worker did not answer in time" in error
    wait_until(lambda: status(router)["complete"], 5, "an answer of both workers")


def test_ready(lab, stage):
    router, *_ = stage
    assert command("status", "--ready", "--name", name_of(router)) == (0, "", "")
    assert command("status", "--ready", "--name", "nobody") == (1, "", "")


# detach

def test_detach_drains(lab, stage):
    router, _, https = stage
    client, server = lab.session(router, https_hello(), https)
    detach = lab.child(BINARY, "detach", "--name", name_of(router))
    router.wait_line("draining", 5)
    assert status(router)["state"] == "draining" and command("status", "--ready", "--name", name_of(router))[0] == 1
    assert detach.running()
    server.send(b"the last word")
    server.close()
    assert client.read_to_end() == b"the last word"
    client.close()
    assert detach.wait() == 0 and router.wait() == 0
    assert not os.path.exists(path_of(name_of(router)))


def test_detach_waits_whoever_watches(lab, stage):
    router, _, https = stage
    client, server = lab.session(router, https_hello(), https)
    traces = [lab.child(BINARY, "trace", "--name", name_of(router)) for _ in range(4)]
    wait_until(lambda: status(router)["watchers"] == len(traces), 5, "the watchers")
    detach = lab.child(BINARY, "detach", "--name", name_of(router))
    router.wait_line("draining", 5)
    assert status(router)["watchers"] == len(traces) + 1 and detach.running()
    client.close()
    server.close()
    assert detach.wait() == 0 and router.wait() == 0


def test_detach_now_resets(lab, stage):
    router, _, https = stage
    client, server = lab.session(router, https_hello(), https)
    assert command("detach", "--now", "--name", name_of(router))[0] == 0
    assert client.outcome() == server.outcome() == "reset" and router.wait() == 0


# Names and places

def test_names(lab):
    acme, https = lab.backends()
    first = lab.router(acme, https, "--name", "edge")
    assert stat.S_IMODE(os.stat(path_of("edge")).st_mode) == 0o660
    second = lab.failing_router(acme, https, "--name", "edge", listen=[("127.0.0.1", free_port())])
    assert second.wait() == 1
    assert second.find('the name "edge" is in use by another alpnbpf .* choose another --name')
    assert command("status", "--ready", "--name", "edge")[0] == 0
    third = lab.router(acme, https, "--name", "inner")
    code, _, error = command("status")
    assert code == 1 and "several instances are running; choose one with --name:" in error and "edge" in error and "inner" in error
    third.finish()
    assert json.loads(command("status", "--json")[1])["name"] == "edge"
    first.finish()
    code, _, error = command("status")
    assert code == 1 and error.endswith("none is running\n")


def test_a_killed_one_leaves_its_name_free(lab):
    acme, https = lab.backends()
    first = lab.router(acme, https, "--name", "fallen")
    first.process.kill()
    first.expected_exit = first.wait()
    assert os.path.exists(path_of("fallen"))
    code, _, error = command("status", "--name", "fallen")
    assert code == 1 and "Connection refused; is an instance" in error
    lab.router(acme, https, "--name", "fallen")
    assert command("status", "--ready", "--name", "fallen")[0] == 0


def test_the_same_port_elsewhere_steps_aside(lab):
    """As in another network namespace with the same run directory: the default name is in use."""
    acme, https = lab.backends()
    port = free_port()
    one = lab.router(acme, https, listen=[("127.0.0.1", port)])
    two = lab.router(acme, https, listen=[("127.0.0.2", port)])
    assert status(one)["pid"] == one.pid
    assert json.loads(command("status", "--json", "--name", f"{port}-{two.pid}")[1])["pid"] == two.pid


@pytest.mark.parametrize("place", ["missing/parent", "file"])
def test_a_run_directory_that_cannot_be_used(lab, tmp_path, place):
    """A warning without --name; an error with it."""
    (tmp_path / "file").write_text("")
    acme, https = lab.backends()
    env = {"RUNTIME_DIRECTORY": str(tmp_path / place)}
    router = lab.router(acme, https, env=env)
    assert router.find("no control socket: .*: (No such file or directory|Not a directory); ")
    client, server = lab.session(router, https_hello(), https)
    client.close()
    server.close()
    other = lab.failing_router(acme, https, "--name", "x", env=env, listen=[("127.0.0.1", free_port())])
    assert other.wait() == 1 and other.find(r"error cannot create the (control socket|run directory) .*directory")


def test_usage():
    for arguments, named in ((["--foo"], 'unknown option "--foo"'), (["--name"], "--name needs a value"),
                             (["--ready", "--json"], "--ready prints nothing")):
        code, out, error = command("status", *arguments)
        assert (code, out) == (2, "") and named in error
    code, _, error = command("status", "--name", "../etc/passwd")
    assert code == 1 and "not the name of an instance" in error
    for name in ("a/b", "", ".hidden", "x" * 48, "a b"):
        code, _, error = command("attach", "--acme", "1", "--https", "2", "--name", name)
        assert code == 2 and "--name" in error
    code, _, error = command("check", "--acme", "1", "--https", "2", "--metrics", ":9100")
    assert code == 2 and "the address is missing; write 9100 for 127.0.0.1" in error


# Permissions

def as_user(uid, *groups):
    wanted = f"--groups={','.join(map(str, groups))}" if groups else "--clear-groups"
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", wanted, "--"]


@pytest.fixture
def place():
    """A program that other users can execute, and a run directory that they can reach."""
    binary = os.path.join(open_directory(), "alpnbpf")
    shutil.copy(BINARY, binary)
    return {"binary": binary, "env": {"RUNTIME_DIRECTORY": open_directory()}}


def test_only_root_its_user_and_the_group_may_ask(lab, place):
    acme, https = lab.backends()
    router = lab.router(acme, https, "--name", "guarded", "--control-group", "4242", env=place["env"])
    for prefix in ([], as_user(4242), as_user(65534, 4242)):
        assert command("status", "--ready", prefix=prefix, **place) == (0, "", "")
    code, _, error = command("status", "--name", "guarded", prefix=as_user(65534), **place)
    assert code == 1 and "Permission denied" in error
    # Lax permissions of the socket file do not admit others.
    os.chmod(os.path.join(place["env"]["RUNTIME_DIRECTORY"], "guarded.sock"), 0o666)
    code, _, error = command("detach", "--name", "guarded", prefix=as_user(65534), **place)
    assert code == 1 and "members of --control-group may use" in error
    assert router.running()
    bad = lab.failing_router(acme, https, "--control-group", "no-such-group", listen=[("127.0.0.1", free_port())])
    assert bad.wait() == 1 and bad.find("--control-group no-such-group: no such group")


# Bad input

@pytest.mark.parametrize("request_", ids=itertools.count(), argvalues=[b"reboot\n", b"\n", b"STATUS json\n", b"status\n", b"status yaml\n", b"detach soon\n",
                                      b"x" * 5000, b"\0" * 4096, noise(4096, "control").replace(b"\n", b" "), b"GET / HTTP/1.1\r\n\r\n"])
def test_bad_requests_get_an_error(stage, request_):
    router, *_ = stage
    answer = ask(path_of(name_of(router)), request_)
    assert answer.startswith("error: ") and answer.count("\n") == 1
    assert status(router)["state"] == "running"


def test_unknown_commands_are_told_which_there_are(stage):
    assert re.search("known commands: status, sessions, ready, trace, reload, detach", ask(path_of(name_of(stage[0])), b"reboot\n"))


def test_a_request_in_pieces(stage):
    with dial(path_of(name_of(stage[0]))) as peer:
        for byte in b"status json":
            peer.sendall(bytes([byte]))
        peer.sendall(b"\nand more that nobody asked for\n")
        answer = read_all(peer)
    assert answer.startswith("ok\n{") and json.loads(answer[3:])["state"] == "running"


@pytest.mark.alone
def test_those_who_never_speak(lab, stage):
    """1,000 silent clients: another one is answered, sessions are not disturbed, descriptors stay bounded."""
    router, _, https = stage
    client, server = lab.session(router, https_hello(), https)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    silent = []
    try:
        for _ in range(1000):
            silent.append(dial(path_of(name_of(router))))
        assert status(router)["sessions"]["now"] == 1
        assert router.descriptors() < 60
        client.send(b"still here")
        assert server.read(10) == b"still here"
        # Each is closed in time, the last ones by their deadline.
        for peer in silent:
            assert peer.recv(1) == b""
    finally:
        for peer in silent:
            peer.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    before = router.cpu_seconds()
    assert status(router)["state"] == "running" and router.cpu_seconds() - before < 0.1


@pytest.mark.alone
def test_one_who_does_not_read_its_answer(lab, stage):
    router, _, https = stage
    clients = [lab.connect(router) for _ in range(300)]
    for client in clients:
        client.send(https_hello())
    wait_until(lambda: status(router)["sessions"]["now"] == 300, 10, "300 sessions")
    with socket.socket(socket.AF_UNIX) as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.settimeout(20 * SCALE)
        peer.connect(path_of(name_of(router)))
        peer.sendall(b"sessions json\n")
        before = router.cpu_seconds()
        assert len(sessions(router)) == 300  # answers others meanwhile
        wait_until(lambda: not is_connected(peer), 10, "the end of its patience")
        assert router.cpu_seconds() - before < 1


def is_connected(peer):
    """Sending to one that is closed fails."""
    try:
        peer.send(b"\n", socket.MSG_DONTWAIT)
    except (BrokenPipeError, ConnectionResetError):
        return False
    except BlockingIOError:
        pass
    return True
