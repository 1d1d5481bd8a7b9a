# SPDX-License-Identifier: BSD-2-Clause
"""
In place: the web server keeps :443 and its configuration, and the program sees connections only while an ACME client
listens. Real servers, real clients in another network namespace, real certificates; no request may fail, and the server
must see every client's own address, before, during and after a validation.
"""
import contextlib
import re
import signal
import socket
import subprocess

import pytest

from acme_client import AcmeClient, listening
from conftest import free_ports
from hellos import acme_hello, https_hello
from netns import Namespace, run
from router import BINARY
from services import Pebble, need
from sockets import Listener, connect
from visitors import Visitor, ask, client_context
from waiting import pause, wait_until
from web_servers import WebServer

ACME = 10443
SERVERS = ("nginx", "apache", "haproxy")


class Ground:
    """A web server on :443, and clients behind a veth pair."""

    def __init__(self, lab, authority, veth, kind, **options):
        self.lab, self.authority, self.veth = lab, authority, veth
        self.web = WebServer(lab, kind, 443, authority, **options)
        self.context = client_context(authority.file)

    def server(self, family=4):
        return self.veth.server4 if family == 4 else self.veth.server6

    def attach(self, *options, **keywords):
        router = self.lab.router(ACME, 443, *options, listen=(), bypass=True, **keywords)
        return router

    def ask(self, family=4, path="/client"):
        """What the server says to a client of the other namespace; the client's own address."""
        local, body = ask((self.server(family), 443), self.context, path, self.veth.namespace)
        return body.removeprefix("::ffff:"), local[0]

    def visitor(self, family):
        visitor = Visitor((self.server(family), 443), self.authority.file, self.veth.namespace)
        visitor.start()
        return visitor


@contextlib.contextmanager
def visitors(ground, families=(4, 6)):
    """Requests all the time; none may fail, and each is answered with the client's own address."""
    crowd = [ground.visitor(family) for family in families]
    try:
        yield crowd
    finally:
        for visitor in crowd:
            visitor.stop()
        for visitor in crowd:
            visitor.finish()


@contextlib.contextmanager
def responder(host="127.0.0.1", port=ACME):
    """Somebody listens on the ACME port."""
    listener = Listener(host=host, port=port)
    try:
        yield listener
    finally:
        listener.close()


def proxied(router, route="https"):
    return [closed for closed in router.sessions() if closed.route == route]


@pytest.fixture
def ground(lab, authority, veth):
    return Ground(lab, authority, veth, "nginx")


@pytest.mark.parametrize("kind", SERVERS)
def test_certificate_while_visitors_come(lab, authority, veth, kind):
    """The whole story, with an unchanged server."""
    ground = Ground(lab, authority, veth, kind)
    pebble = Pebble(lab, authority, free_ports())
    for family, name in ((4, "a.test"), (6, "b.test")):
        pebble.resolve(name, **{f"v{family}": [ground.server(family)]})
    with visitors(ground) as crowd:
        for visitor in crowd:
            visitor.wait_more()
        router = ground.attach()
        for visitor in crowd:
            visitor.wait_more()
        assert not proxied(router)
        client = AcmeClient(lab, pebble.directory_url, authority.file)
        for name in ("a.test", "b.test"):
            client.issue(name, ACME)
        for visitor in crowd:
            visitor.wait_more()
        wait_until(lambda: len(proxied(router, "acme")) >= 2, 5, "two ACME sessions in the log")
        router.finish()
        for visitor in crowd:
            visitor.wait_more()
    assert router.totals()["end_done"] > 2, "no visitor came while a validation was under way"
    own = {veth.client4, veth.client6}
    seen = {address for address, _ in ground.web.clients()}
    assert own <= seen and seen - own <= {"127.0.0.1", veth.server4, veth.server6}  # who waited for the server, pebble


@pytest.mark.long
@pytest.mark.parametrize("kind", SERVERS)
def test_lego(lab, authority, veth, kind, tmp_path):
    ground = Ground(lab, authority, veth, kind)
    pebble = Pebble(lab, authority, free_ports())
    for family in (4, 6):
        pebble.resolve(f"lego.v{family}.test", **{f"v{family}": [ground.server(family)]})
    router = ground.attach()
    with visitors(ground) as crowd:
        lego = lab.child(need("lego"), "--server", pebble.directory_url, "--accept-tos", "--email", "e2e@example.test",
                         "--path", str(tmp_path), "--tls", "--tls.port", f":{ACME}", "--domains=lego.v4.test",
                         "--domains=lego.v6.test", "run", env={"LEGO_CA_CERTIFICATES": authority.file})
        assert lego.wait(60) == 0, lego.text()
        for visitor in crowd:
            visitor.wait_more()
    wait_until(lambda: len(proxied(router, "acme")) >= 2, 5, "two ACME sessions in the log")


@pytest.mark.parametrize("plane", ["sockmap", "user"])
@pytest.mark.parametrize("family", [4, 6])
def test_who_gets_what_while_armed(ground, plane, family):
    """Armed: acme-tls/1 goes to the responder, everything else through us to the server, which sees the client."""
    router = ground.attach(plane=plane)
    with responder() as acme:
        client = ground.lab.connect((ground.server(family), 443), namespace=ground.veth.namespace)
        hello = acme_hello()
        client.send(hello)
        server = acme.accept()
        assert server.read(len(hello)) == hello
        server.close()
        assert client.read_to_end() == b""
        client.close()
        seen, own = ground.ask(family)
        assert seen == own
        wait_until(lambda: len(proxied(router)) == 1 and len(proxied(router, "acme")) == 1, 5, "both in the log")
        assert own in proxied(router)[0].client
    seen, own = ground.ask(family)
    assert seen == own
    assert len(router.sessions()) == 2


@pytest.mark.parametrize("family", [4, 6])
def test_the_server_sees_where_the_client_went(ground, family):
    """A server that serves by address gets the address the client used, not loopback."""
    ground.attach()
    expected = f"{ground.server(family)} 443"
    assert ground.ask(family, "/server")[0] == expected
    with responder():
        assert ground.ask(family, "/server")[0] == expected


def test_client_port_is_told_too(ground):
    router = ground.attach()
    with responder():
        local, _ = ask((ground.server(), 443), ground.context, "/client", ground.veth.namespace)
        wait_until(lambda: proxied(router), 5, "the session in the log")
    wait_until(lambda: (local[0], local[1]) in ground.web.clients(), 5, "the client in the server's log")


def test_dual_stack_listener(lab, authority, veth):
    """One socket for both families shows IPv4 clients as v4-mapped; so do we."""
    ground = Ground(lab, authority, veth, "nginx", hosts=("[::]",), dual=True)
    router = ground.attach()
    with responder():
        for family in (4, 6):
            seen, own = ground.ask(family)
            assert seen == own
        wait_until(lambda: len(proxied(router)) == 2, 5, "two sessions in the log")


def test_first_connection_after_listen_is_seen(ground):
    """No polling: arming is over when listen() returns."""
    ground.attach()
    hello = acme_hello()
    for round_ in range(100):
        with responder(host=("127.0.0.1", "::1")[round_ % 2]) as acme:
            client = connect((ground.server(), 443), namespace=ground.veth.namespace)
            client.send(hello)
            server = acme.accept()
            assert server.read(len(hello)) == hello
            server.close()
            client.close()


def test_armed_by_whoever_listens(ground):
    """Several listeners at once, IPv4 and IPv6, of other processes, there before attach or not; armed to the last one."""
    hosts = ("127.0.0.1", "::1", "0.0.0.0")
    with responder(host="127.0.0.2"):
        router = ground.attach()
        ground.ask()
        wait_until(lambda: len(proxied(router)) == 1, 5, "a session: armed by a listener that was there before")
        router.wait_line(r"armed: 127\.0\.0\.2:10443 is listened on")
    router.wait_line("disarmed")
    ground.ask()
    listeners = [Listener(host=host, port=ACME) for host in hosts[:2]]
    script = f"import socket; s=socket.create_server(('127.0.0.3', {ACME})); print('up', flush=True); input()"
    other = ground.lab.child("/usr/bin/python3", "-c", script, stdin=subprocess.PIPE)
    other.wait_line("up")
    for gone in range(3):
        ground.ask()
        wait_until(lambda: len(proxied(router)) == 2 + gone, 5, f"a session with {3 - gone} listeners")
        if gone < 2:
            listeners[gone].close()
        else:
            other.stop()
    ground.ask()
    ground.ask()
    assert len(proxied(router)) == 4


def test_more_listeners_than_are_remembered(ground):
    """Then it stays armed, which is safe, rather than to miss one."""
    router = ground.attach()
    with contextlib.ExitStack() as stack:
        for number in range(1, 30):
            stack.enter_context(responder(host=f"127.0.1.{number}"))
        ground.ask()
    ground.ask()
    wait_until(lambda: len(proxied(router)) == 2, 5, "two sessions in the log")


def test_a_connection_is_the_servers_own_while_unarmed(ground):
    """One socket pair from client to server: no loopback hop, nobody in between."""
    router = ground.attach()
    client = ground.lab.connect((ground.server(), 443), namespace=ground.veth.namespace)
    lines = subprocess.run(["ss", "-Htnp", "state", "established", "sport = 443"], capture_output=True, text=True,
                           check=True).stdout.splitlines()
    assert len(lines) == 1 and f"{client.local[0]}:{client.local[1]}" in lines[0] and "nginx" in lines[0], lines
    client.close()
    assert router.sessions() == []


def switches(router):
    """Context switches of all its threads: each wake-up is one."""
    total = 0
    for line in subprocess.run(["cat"] + [f"/proc/{router.pid}/task/{task}/status" for task in tasks(router)],
                               capture_output=True, text=True, check=True).stdout.splitlines():
        if "ctxt_switches" in line:
            total += int(line.split()[1])
    return total


def tasks(router):
    return subprocess.run(["ls", f"/proc/{router.pid}/task"], capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.long
def test_no_wake_up_in_ten_thousand_requests(ground):
    router = ground.attach()
    before = switches(router)
    output = ground.lab.child(need("h2load"), "--h1", "-n", "10000", "-c", "50", "-m", "1",
                              f"https://{ground.server()}/client")
    assert output.wait(60) == 0 and "10000 succeeded" in output.text(), output.text()
    for _ in range(200):  # new connections, too
        connect((ground.server(), 443), namespace=ground.veth.namespace).close()
    assert switches(router) == before
    assert router.sessions() == []


@pytest.mark.long
def test_a_thousand_arms_without_a_failure(ground):
    router = ground.attach(log_level="info")
    with visitors(ground) as crowd:
        for round_ in range(1000):
            with responder():
                if round_ % 50 == 0:
                    crowd[round_ // 50 % 2].wait_more(1)
    router.finish()
    totals = router.totals()
    assert totals["sessions"] > 20 and totals["sessions"] == totals.get("end_done", 0) + totals.get(
        "end_client_left", 0), totals


@pytest.mark.long
@pytest.mark.parametrize("armed", [False, True])
def test_a_hundred_attaches_without_a_failure(ground, armed):
    with contextlib.ExitStack() as stack:
        if armed:
            stack.enter_context(responder())
        crowd = stack.enter_context(visitors(ground))
        seen = 0
        for round_ in range(100):
            router = ground.attach(log_level="info")
            crowd[round_ % 2].wait_more(1)
            router.finish()
            seen += router.totals()["sessions"]
    assert seen > 50 if armed else seen == 0


def test_sessions_live_through_disarming_and_detaching(ground):
    """What is through us stays through us to its end."""
    router = ground.attach("--drain-timeout", "20s")
    with responder():
        tls = slow_request(ground)
        wait_until(lambda: descriptors(router) > 0, 5, "a session")
    assert answer(tls).endswith(ground.veth.client4)
    with responder():
        tls = slow_request(ground)
        wait_until(lambda: descriptors(router) > 0, 5, "a session")
    router.terminate()
    router.wait_line("draining")
    seen, own = ground.ask()
    assert seen == own
    assert answer(tls).endswith(ground.veth.client4)
    wait_until(lambda: len(router.sessions()) == 2, 5, "the end of both")  # a second TERM would cut it off
    router.finish()
    assert router.totals()["end_done"] == 2


def slow_request(ground):
    """A connection that stands, with half of its request sent."""
    peer = connect((ground.server(), 443), namespace=ground.veth.namespace)
    tls = ground.context.wrap_socket(peer.sock, server_hostname="www.example.test")
    tls.sendall(b"GET /client HTTP/1.1\r\nHost: www.example.test\r\nConnection: close\r\n")
    return tls


def answer(tls):
    tls.sendall(b"\r\n")
    data = b""
    while part := tls.recv(65536):
        data += part
    tls.close()
    return data.decode().strip()


def descriptors(router):
    """Established connections of the program to the web server."""
    lines = subprocess.run(["ss", "-Htnp", "state", "established", "dport = 443"], capture_output=True, text=True,
                           check=True).stdout.splitlines()
    return sum(f"pid={router.pid}," in line for line in lines)


def test_killed(ground):
    """Steering dies with the process: the server has all new connections at once, armed or not."""
    router = ground.attach()
    with responder():
        ground.ask()
        router.signal(signal.SIGKILL)
        router.process.wait()
        router.ended = True
        for _ in range(20):
            seen, own = ground.ask()
            assert seen == own
        again = ground.attach()
        ground.ask()
        wait_until(lambda: proxied(again), 5, "a session through the next one")


def test_server_that_comes_later(lab, authority, veth):
    """Nobody on :443 at attach; served as soon as there is."""
    ground = Ground(lab, authority, veth, "nginx", wait=False)
    router = ground.attach("--connect-timeout", "1s")
    router.wait_line(r"warn .*nobody listens on .*443")
    with pytest.raises(ConnectionRefusedError):
        ground.ask()
    ground.web.start()
    assert ground.ask()[0] == veth.client4
    with responder():
        assert ground.ask()[0] == veth.client4
        ground.web.stop()
        client = lab.connect((veth.server4, 443), namespace=veth.namespace)
        client.send(https_hello())
        assert client.outcome() == "reset"


WITHOUT_CGROUP = ["unshare", "--mount", "sh", "-c", 'umount -a -l -t cgroup2 && exec "$@"', "sh"]


@pytest.mark.parametrize("family", [4, 6])
def test_without_a_cgroup(ground, family):
    """As in a container without it: it says so, stays armed, and does not go round in circles."""
    router = ground.attach(prefix=WITHOUT_CGROUP)
    router.wait_line(r"warn nothing tells when the ACME client listens \(no cgroup v2")
    for _ in range(20):
        assert ground.ask(family, "/server")[0] == f"{ground.server(family)} 443"
    wait_until(lambda: len(proxied(router)) == 20, 5, "all in the log")


def test_a_cgroup_that_is_not_ours(ground, tmp_path):
    """A container may be shown a part of the hierarchy in which it is not: nothing would be seen there."""
    root, part = tmp_path / "root", tmp_path / "part"
    root.mkdir()
    part.mkdir()
    run("mount", "-t", "cgroup2", "none", str(root))
    try:
        (root / "alpnbpf-e2e").mkdir(exist_ok=True)
        script = f'mount --bind {root}/alpnbpf-e2e {part} && umount -l {root} && for m in ' \
            f'$(grep " cgroup2 " /proc/self/mounts | cut -d " " -f 2 | grep -vx {part}); do umount -l "$m"; done; ' \
            'exec "$@"'
        router = ground.attach(prefix=["unshare", "--mount", "sh", "-c", script, "sh"])
        router.wait_line(r"warn nothing tells .*cgroup \S+/part is not the root of the hierarchy")
        for _ in range(3):
            ground.ask()
        wait_until(lambda: len(proxied(router)) == 3, 5, "all in the log")
        router.finish()
    finally:
        (root / "alpnbpf-e2e").rmdir()
        run("umount", str(root))


def test_peername_asked_for_by_name_needs_the_cgroup(ground):
    router = ground.lab.failing_router(ACME, 443, "--client-address", "peername", listen=(), bypass=True,
                                       prefix=WITHOUT_CGROUP)
    assert router.wait() == 1
    assert re.search(r"--client-address peername: no cgroup v2 is mounted here; use none or transparent", router.text())


def check(*arguments, prefix=()):
    result = subprocess.run([*prefix, BINARY, "check", "--acme", str(ACME), *arguments], capture_output=True, text=True)
    return result.returncode, result.stdout


def test_check(ground):
    """What would run, and what the web server's listeners are."""
    code, out = check("--https", "443")
    assert code == 0
    assert f"ok   mode: in place, armed while port {ACME} is listened on, clients shown by peername" in out
    for where in (r"0\.0\.0\.0:443 \(IPv4\)", r"\[::\]:443 \(IPv6\)"):
        assert re.search(rf"ok   web server: nginx \(pid {ground.web.child.pid}\) listens on {where}", out), out
    code, out = check("--https", "443", prefix=WITHOUT_CGROUP)
    assert code == 0 and "warn mode: in place, armed always (the cgroup cannot be used): no cgroup v2" in out
    router = ground.attach()
    code, out = check("--https", "443")
    assert code == 1 and re.search(rf"FAIL in place: alpnbpf\S* \(pid {router.pid}\) serves port 443", out)
    code, out = check("--https", "8443", "--listen", "127.0.0.1:444")
    assert "ok   mode: with bypass, armed while" in out
    code, out = check("--https", "8443", "--listen", "127.0.0.1:444", "--no-bypass")
    assert "ok   mode: front" in out


def test_unprivileged(ground):
    """Without the capabilities: a clear reason, and what to do instead."""
    result = subprocess.run(["setpriv", "--reuid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all",
                             BINARY, "attach", "--acme", str(ACME), "--https", "443"], capture_output=True, text=True)
    assert result.returncode == 1
    assert re.search(r"cannot serve the web server in place: .*CAP_BPF.* missing; instead, move it to another port",
                     result.stderr), result.stderr


def test_two_attaches(ground):
    """The second fails and says who is in the way."""
    first = ground.attach()
    second = ground.lab.failing_router(ACME, 443, listen=(), bypass=True)
    assert second.wait() == 1
    assert re.search(rf"alpnbpf\S* \(pid {first.pid}\) serves port 443", second.text()), second.text()
    assert ground.ask()[0] == ground.veth.client4


def test_namespaces_do_not_see_each_other(ground, authority):
    """Each with its own attach: what listens in one arms that one alone."""
    here = ground.attach()
    namespace = Namespace()
    try:
        there = ground.lab.router(ACME, 443, listen=(), bypass=True, prefix=namespace.prefix())
        with namespace.inside():
            foreign = socket.create_server(("127.0.0.1", ACME))
        there.wait_line("armed")
        ground.ask()
        assert here.sessions() == [] and not here.find(r"info armed")
        with responder():
            ground.ask()
            wait_until(lambda: proxied(here), 5, "a session here")
        foreign.close()
        there.wait_line("disarmed")
        there.finish()
        assert there.totals()["sessions"] == 0
    finally:
        namespace.close()


def test_client_on_the_same_host(ground):
    """Routed like any other, while our own connections are not: else this would never end."""
    router = ground.attach()
    with responder() as acme:
        for host in ("127.0.0.1", "::1", ground.veth.server4):
            local, body = ask((host, 443), ground.context)
            assert body == local[0]
        client = ground.lab.connect(("127.0.0.1", 443))
        client.send(acme_hello())
        server = acme.accept()
        server.close()
        client.close()
    wait_until(lambda: len(proxied(router)) == 3 and len(proxied(router, "acme")) == 1, 5, "all four in the log")


def test_private_port_leads_nowhere(ground):
    """Whoever finds it is reset, not sent round in circles."""
    router = ground.attach()
    lines = subprocess.run(["ss", "-Htlnp"], capture_output=True, text=True, check=True).stdout.splitlines()
    ports = {int(line.split()[3].rsplit(":", 1)[1]) for line in lines if f"pid={router.pid}," in line}
    assert len(ports) == 2  # one a family
    for port in ports:
        for host in ("127.0.0.1", "::1"):
            with contextlib.suppress(ConnectionRefusedError):
                client = ground.lab.connect((host, port))
                client.send(https_hello())
                assert client.outcome() == "reset"
    router.finish()
    assert router.totals()["stray_refused"] == 2 and router.totals()["sessions"] == 0


def test_server_on_some_addresses_only(lab, authority, veth):
    """A server that does not listen on loopback is reached where the client reached it."""
    ground = Ground(lab, authority, veth, "nginx", hosts=(veth.server4, "127.0.0.1"))
    router = ground.attach()
    with responder():
        assert ground.ask()[0] == veth.client4
        assert ground.ask(path="/server")[0] == f"{veth.server4} 443"
    wait_until(lambda: len(proxied(router)) == 2, 5, "two sessions in the log")


def test_always_armed(ground):
    router = ground.attach("--arm", "always")
    ground.ask()
    wait_until(lambda: proxied(router), 5, "a session in the log")
    assert router.find(r"ready: .*armed always \(--arm always\)")
    assert not listening(ACME)


def test_no_peername(ground):
    """--client-address none: the server sees us."""
    ground.attach("--client-address", "none")
    with responder():
        seen, own = ground.ask()
        assert seen != own and seen == ground.veth.server4


def test_entries_live_as_long_as_sessions(ground):
    """Nothing of a session is left in the table once it is over."""
    router = ground.attach()
    with responder():
        for _ in range(20):
            ground.ask()
        with contextlib.suppress(ConnectionRefusedError):
            ground.web.stop()
            for _ in range(5):
                client = ground.lab.connect((ground.server(), 443), namespace=ground.veth.namespace)
                client.send(https_hello())
                pause(0.01)
                client.reset()
        wait_until(lambda: router.sessions() and len(router.sessions()) == 25, 10, "the end of all sessions")
    for name in ("ours", "connecting"):
        dump = subprocess.run(["bpftool", "map", "dump", "name", name, "-j"], capture_output=True, text=True)
        assert dump.returncode == 0 and "key" not in dump.stdout, dump.stdout + dump.stderr
