# SPDX-License-Identifier: BSD-2-Clause
"""`alpnbpf reload` and SIGHUP: changes apply to new sessions, live ones continue, and a mistake changes nothing."""
import errno
import os
import re
import signal
import socket

import pytest

from control import command
from hellos import acme_hello, https_hello
from in_place import own_ends, proxied, responder
from pattern import Pattern
from reloading import Config, slow_names
from router import is_sanitized
from sockets import RESET, Listener, connect, free_port
from test_metrics import scrape
from waiting import now, wait_until


@pytest.fixture
def config(lab, tmp_path):
    acme, https = lab.backends()
    config = Config(lab, tmp_path, acme=acme.endpoint, https=https.endpoint)
    config.acme, config.https = acme, https
    return config


def talk(lab, router, https, hello=https_hello()):
    """A whole session that must come to this backend."""
    client, server = lab.session(router, hello, https)
    server.send(b"answer")
    server.close()
    assert client.read_to_end() == b"answer"
    client.close()


# What can change

@pytest.mark.parametrize("how", ["user", "sockmap"])
def test_backends(lab, config, how):
    config.write(dataplane=how)
    router = config.start()
    client, server = lab.session(router, https_hello(), config.https)
    other, validator = lab.backends()
    assert config.reload(https=other.endpoint, acme=validator.endpoint) == "changed for new sessions: acme, https"
    talk(lab, router, other)
    talk(lab, router, validator, acme_hello())
    data = Pattern("reload").bytes(0, 300_000)
    server.send(data)
    assert client.read(len(data)) == data
    client.send(b"still the old one")
    assert server.read(17) == b"still the old one"
    routes = {route["name"]: route for route in config.status()["routes"]}
    assert routes["https"]["backend"] == other.endpoint and routes["acme"]["backend"] == validator.endpoint
    client.close()
    server.close()


def test_who_is_shown_to_the_server_of_before(lab, config, veth):
    """A local client that reuses the port of an ended session of ours is not shown as that session's client."""
    config.write(listen=f"{veth.server4}:{config.port}", client_address="peername")
    router = config.start(listen=[(veth.server4, config.port)])
    old, port = config.https, config.https.port
    other = socket.socket()
    other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    for attempt in range(20):
        client = connect((veth.server4, config.port), namespace=veth.namespace).send(https_hello())
        server = old.accept()
        assert server.sock.getpeername() == client.local
        (_, local), = own_ends(router, port)
        client.reset()
        assert server.outcome() in ("end", "reset")
        server.close()
        wait_until(lambda: len(router.sessions()) == attempt + 1, 5, "its end in the log")
        try:
            other.bind(("127.0.0.1", local))
            break
        except OSError as error:  # a recent connection to another address may still have it
            assert error.errno == errno.EADDRINUSE and attempt < 19
    config.reload(https=lab.listener().endpoint)
    other.connect(("127.0.0.1", port))
    assert old.accept_any().sock.getpeername() == ("127.0.0.1", local)
    other.close()


def test_nothing(lab, config):
    config.start()
    assert config.reload() == "nothing changed"
    assert config.status()["reloads"] == {"done": 1, "failed": 0, "last_failed": False}


def test_listeners(lab, config):
    router = config.start()
    client, server = lab.session(router, https_hello(), config.https)
    ports = [free_port(), free_port()]
    config.reload(listen=[f"127.0.0.1:{config.port}", f"127.0.0.1:{ports[0]}", f"[::1]:{ports[0]}"])
    for address in (("127.0.0.1", config.port), ("127.0.0.1", ports[0]), ("::1", ports[0])):
        with connect(address).sock as peer:
            peer.sendall(https_hello())
            config.https.accept().close()
    assert len(config.status()["listeners"]) == 3
    config.reload(listen=f"127.0.0.1:{ports[1]}")
    for address in (("127.0.0.1", config.port), ("::1", ports[0])):
        with pytest.raises(ConnectionRefusedError):
            connect(address)
    with connect(("127.0.0.1", ports[1])).sock as peer:
        peer.sendall(https_hello())
        config.https.accept().close()
    client.send(b"its listener has gone")
    assert server.read(21) == b"its listener has gone"
    client.close()
    server.close()


def test_timeouts_and_levels(lab, config):
    router = config.start()
    old, old_server = lab.session(router, https_hello(), config.https)
    assert config.reload(idle_timeout="1s", log_level="info") == "changed for new sessions: idle-timeout, log-level"
    lines = len(router.lines())
    new, new_server = lab.session(router, https_hello(), config.https)
    assert new.outcome() == "end"
    old.send(b"x")
    assert old_server.read(1) == b"x"
    config.reload(log_level="debug")
    old.close()
    old_server.close()
    assert router.closed(old).cause == "done"
    assert not [line for line in router.lines()[lines:] if f":{new.local[1]} " in line]
    new_server.close()


def test_limits(lab, config):
    config.write(workers=1)
    router = config.start()
    first, server = lab.session(router, https_hello(), config.https)
    config.reload(max_per_source=1)  # the one there is was not counted
    second, other = lab.session(router, https_hello(), config.https)
    third = lab.connect(router)
    assert third.send(https_hello()).outcome() == "reset"
    config.reload(max_per_source=3)
    fourth, another = lab.session(router, https_hello(), config.https)
    config.reload(max_per_source=None, max_connections=3)
    assert config.status()["sessions"]["limit"] == 3
    waiting = lab.connect(router)
    waiting.send(https_hello())
    for peer in (first, server, second, other):
        peer.close()
    talk_server = config.https.accept()
    assert talk_server.read(len(https_hello())) == https_hello()
    for peer in (fourth, another, waiting, talk_server):
        peer.close()


def test_buffers_of_new_sessions(lab, config):
    router = config.start()
    config.reload(buffer="64K")
    client, server = lab.session(router, https_hello(), config.https)
    server.sock.setblocking(False)
    sent = 0
    try:
        while True:
            sent += server.sock.send(b"x" * 65536)
    except BlockingIOError:
        pass
    assert sent < 20 << 20  # what the two peers' own buffers take, and no megabytes of ours
    client.reset()
    server.close()


# In place and bypassed

def test_the_acme_port_in_place(ground, tmp_path):
    config = Config(ground.lab, tmp_path, acme=10443, https=443, inspect="steer", listen=None, **{"no-bypass": None})
    router = config.start(listen=())
    config.reload(acme=10444)
    with responder(port=10443):
        ground.ask()
    with responder(port=10444) as acme:
        ground.ask()
        wait_until(lambda: len(proxied(router)) == 1, 5, "a session: armed")
        with connect((ground.server(), 443), namespace=ground.veth.namespace).sock as validator:
            validator.sendall(acme_hello())
            server = acme.accept()
            assert server.read(len(acme_hello())) == acme_hello()
            server.close()
    router.wait_line("disarmed: nothing listens on port 10444")
    with responder(port=10445):
        config.reload(acme=10445)  # another process listens there now
        assert config.status()["armed"]["by"].startswith("127.0.0.1:10445")
        ground.ask()
        wait_until(lambda: len(proxied(router)) == 2, 5, "another session")
    assert "port 10445" in config.status()["mode"]
    assert "in place" in config.refused(https=8443)


def test_the_web_server_behind_a_bypass(lab, config):
    config.acme.close()  # not armed
    config.write(no_bypass=None)
    router = config.start()
    other = Listener()
    try:
        for backend in (config.https, other, config.https):
            config.reload(https=backend.endpoint)
            client = lab.connect(router)
            server = backend.accept_any()
            assert server.sock.getpeername()[:2] == client.local[:2]  # directly from the client
            server.close()
            client.close()
    finally:
        other.close()
    assert config.status()["sessions"]["total"] == 0


# What cannot

def test_a_bad_file_changes_nothing(lab, config):
    router = config.start()
    client, server = lab.session(router, https_hello(), config.https)
    line = len(config.values) + 1
    assert config.refused(idle_timeout="soon").startswith(f"{config.path}:{line}: idle-timeout soon: not a duration")
    assert "is missing" in config.refused(https=None)
    os.unlink(config.path)
    code, _, error = command("reload", "--name", config.values["name"])
    assert code == 1 and f"--config {config.path}: No such file or directory" in error
    client.send(b"undisturbed")
    assert server.read(11) == b"undisturbed"
    talk(lab, router, config.https)
    assert config.status()["reloads"] == {"done": 0, "failed": 3, "last_failed": True}
    config.reload(idle_timeout="9s")
    assert not config.status()["reloads"]["last_failed"]
    client.close()
    server.close()


@pytest.mark.parametrize("changes,named", [
    ({"workers": 7}, "workers cannot change while alpnbpf runs; restart alpnbpf"),
    ({"dataplane": "sockmap", "arm": "always"}, "arm, dataplane cannot change"),
    ({"no_bypass": "no"}, "no-bypass cannot change"),
    ({"client_address": "proxy-v2"}, "client-address cannot change"),
    ({"max_connections": 900_000}, "max-connections 900000 exceeds the "),
    ({"metrics": 9999}, "metrics cannot change"),
])
def test_what_needs_a_restart(lab, config, changes, named):
    router = config.start()
    other = lab.listener()
    assert named in config.refused(https=other.endpoint, **changes)
    talk(lab, router, config.https)


def test_a_port_that_is_taken(lab, config):
    """All or nothing: the other listener is not opened, and the backend stays."""
    router = config.start()
    other, holder = lab.backends()
    free = free_port()
    error = config.refused(https=other.endpoint, listen=[f"127.0.0.1:{free}", holder.endpoint])
    assert f"cannot listen on {holder.endpoint}: " in error and "is in use by " in error
    with pytest.raises(ConnectionRefusedError):
        connect(("127.0.0.1", free))
    before = router.descriptors()
    for _ in range(10):
        config.refused(https=other.endpoint, listen=[f"127.0.0.1:{free}", holder.endpoint])
    wait_until(lambda: router.descriptors() <= before, 5, "as many descriptors as before")
    talk(lab, router, config.https)


def test_a_port_that_takes_rights(lab, config):
    router = config.start()
    error = config.refused(listen=[f"127.0.0.1:{config.port}", "127.0.0.1:81"])
    assert error.startswith("cannot listen on 127.0.0.1:81: port 81 needs CAP_NET_BIND_SERVICE") and \
        error.endswith("; alpnbpf has dropped this capability since its start; restart alpnbpf")
    talk(lab, router, config.https)


def test_a_port_of_another_instance(lab, config):
    """SO_REUSEPORT would let the two share it."""
    router = config.start()
    acme, https = lab.backends()
    other = lab.router(acme, https)
    taken = other.address()[1]
    assert f"cannot listen on 127.0.0.1:{taken}: " in config.refused(listen=[f"127.0.0.1:{config.port}",
                                                                             f"127.0.0.1:{taken}"])
    for _ in range(10):
        talk(lab, other, https)
    talk(lab, router, config.https)
    # Our own listener does not block another address with the same port.
    config.reload(listen=[f"127.0.0.1:{config.port}", f"127.0.0.2:{config.port}"])


def test_name_servers_that_do_not_answer(lab, config, tmp_path, manager):
    """Watchdog notifications and sessions continue, and the client gets its answer in time."""
    with slow_names(tmp_path) as names:
        router = config.start(names=names, env={**manager.env, "WATCHDOG_USEC": "1000000"})
        alive = 0
        reload_ = config.begin_reload(https="backend.example.test:8443")
        while reload_.running():
            alive += manager.wait("") == "WATCHDOG=1"
        assert reload_.wait() == 1 and "took longer than 8 s" in reload_.text()
        assert alive >= 8
        assert "still being looked up" in config.refused(https="other.example.test:8443")
        talk(lab, router, config.https)


# During a reload

@pytest.fixture
def slow(config, tmp_path):
    """(config, names): a reload begins, and continues when the name server answers."""
    with slow_names(tmp_path) as names:
        yield config, names


def test_all_else_goes_on_meanwhile(lab, slow):
    """The program answers other requests at once, arms, and serves sessions."""
    config, names = slow
    config.acme.close()
    acme, metrics = free_port(), free_port()
    config.write(acme=acme, no_bypass=None, metrics=metrics)
    router = config.start(names=names)
    reload_ = config.begin_reload(https="backend.example.test:8443")
    names.wait_asked()
    assert command("status", "--ready", "--name", config.values["name"])[0] == 0
    assert config.status()["reloads"] == {"done": 0, "failed": 0, "last_failed": False}
    assert scrape(metrics)["alpnbpf_reloads_total"] == 0
    with responder(port=acme) as validator:
        router.wait_line("armed: ", 2)
        client = lab.connect(router).send(acme_hello())
        server = validator.accept()
        assert server.read(len(acme_hello())) == acme_hello()
        server.close()
        client.close()
    router.wait_line("disarmed: ", 5)
    assert reload_.running()
    names.answer()
    assert reload_.wait() == 0 and reload_.lines() == ["changed for new sessions: https"]


@pytest.mark.parametrize("how", ["TERM", "detach"])
def test_the_end_comes_at_once_meanwhile(lab, slow, how):
    config, names = slow
    router = config.start(names=names)
    reload_ = config.begin_reload(https="backend.example.test:8443")
    names.wait_asked()
    begin = now()
    if how == "TERM":
        router.terminate()
    else:
        assert command("detach", "--name", config.values["name"])[0] == 0
    assert router.wait() == 0 and now() - begin < 7, "not the 8 s that names may take"
    assert reload_.wait() == 1 and reload_.text() == "alpnbpf reload: alpnbpf is shutting down"


@pytest.mark.parametrize("how", ["HUP", "reload"])
def test_another_one_follows_the_first(lab, slow, how):
    """The file has changed since the first one read it."""
    config, names = slow
    router = config.start(names=names)
    first = config.begin_reload(https=f"backend.example.test:{config.https.port}")
    names.wait_asked()
    if how == "HUP":
        config.write(idle_timeout="9s")
        router.signal(signal.SIGHUP)
    else:
        second = config.begin_reload(idle_timeout="9s")
    router.wait_line("a reload is in progress; reloading again")
    names.answer()
    names.wait_asked()
    assert first.wait() == 0 and first.lines() == ["changed for new sessions: https"]
    names.answer()
    router.wait_line("reloaded: changed for new sessions: idle-timeout")
    if how == "reload":
        assert second.wait() == 0 and second.lines() == ["changed for new sessions: idle-timeout"]
    assert config.status()["reloads"]["done"] == 2
    talk(lab, router, config.https)


# Signals, and under load

def test_hup_and_the_service_manager(lab, config, manager):
    router = config.start(env=manager.env)
    manager.wait("READY=1")
    other = lab.listener()
    config.write(https=other.endpoint)
    router.signal(signal.SIGHUP)
    assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+\n?", manager.wait("RELOADING=1"))
    manager.wait("READY=1")
    router.wait_line("reloaded: changed for new sessions: https")
    talk(lab, router, other)
    config.write(https="nonsense")
    router.signal(signal.SIGHUP)
    manager.wait("RELOADING=1")
    manager.wait("READY=1")
    router.wait_line("reload failed, keeping the running configuration: .*nonsense")
    talk(lab, router, other)


def test_many_under_load(lab, config):
    """No connection is refused or reset by a reload; descriptors and memory do not grow."""
    router = config.start()
    other = lab.listener()
    begin = None
    for round_ in range(60):
        ports = [f"127.0.0.1:{config.port}"] + ([f"127.0.0.2:{config.port}"] if round_ % 2 else [])
        early = lab.connect(router)
        config.reload(https=(config.https, other)[round_ % 2].endpoint, listen=ports, idle_timeout=f"{100 + round_}s")
        early.send(https_hello())
        late = lab.connect(router).send(https_hello())
        backend = (config.https, other)[round_ % 2]
        for _ in (early, late):
            server = backend.accept()
            assert server.read(len(https_hello())) == https_hello()
            server.send(b"ok")
            server.close()
        try:
            assert early.read_to_end() == late.read_to_end() == b"ok"
        except RESET:
            pytest.fail("a session was reset")
        early.close()
        late.close()
        if round_ == 19:
            wait_until(lambda: config.status()["sessions"]["now"] == 0, 5, "no session")
            begin = router.descriptors(), router.rss_bytes()
    wait_until(lambda: config.status()["sessions"]["now"] == 0, 5, "no session")
    assert abs(router.descriptors() - begin[0]) <= 2
    assert router.rss_bytes() - begin[1] < 2 << 20 or is_sanitized()


# Rules

@pytest.mark.parametrize("how", ["user", "sockmap"])
def test_rules(lab, config, how):
    """A hello that has begun is matched against the rules it began with, which are still needed two reloads later."""
    one, two, three = lab.listener(), lab.listener(), lab.listener()
    config.write(dataplane=how, route=f"sni=www.example.test -> {one.endpoint}", hello_timeout="20s")
    router = config.start()
    talk(lab, router, one)
    hello = https_hello()
    half = lab.connect(router)
    half.send(hello[:100])
    wait_until(lambda: config.status()["sessions"]["now"] == 1, 5, "half of a hello")
    config.reload(route=f"sni=*.example.test -> {two.endpoint}")
    talk(lab, router, two)
    assert "still being matched" in config.refused(route=[f"alpn=h2 -> {three.endpoint}", f"alpn=x -> {two.endpoint}"])
    talk(lab, router, two)
    half.send(hello[100:])
    server = one.accept()
    assert server.read(len(hello)) == hello
    config.reload(route=[f"alpn=h2 -> {three.endpoint}", f"alpn=x -> {two.endpoint}"])
    talk(lab, router, three)
    assert [route["name"] for route in config.status()["routes"]] == ["https", "acme", "route-1", "route-2"]
    config.reload(route=None)
    talk(lab, router, config.https)
    for peer in (half, server):
        peer.close()


def test_the_first_rule_takes_a_restart(lab, config):
    router = config.start()
    assert config.refused(route=f"alpn=h2 -> {config.acme.endpoint}") == \
        "route: alpnbpf started without rules and cannot add one now; restart alpnbpf"
    talk(lab, router, config.https)
