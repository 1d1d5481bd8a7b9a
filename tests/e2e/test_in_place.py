# SPDX-License-Identifier: BSD-2-Clause
"""
In place: the web server keeps :443 and its configuration, and the program sees connections only while an ACME client
listens. Real servers, real clients in another network namespace, real certificates; no request may fail, and the server must
see every client's own address, before, during and after a validation.
"""
import contextlib
import re
import signal
import socket
import struct
import subprocess

import pytest

from acme_client import AcmeClient
from control import UNPRIVILEGED, command
from hellos import acme_hello, https_hello
from in_place import (ACME, WITHOUT_CGROUP, Ground, answer, descriptors, is_the_servers_own, proxied, responder, slow_request,
                      switches, switches_at_rest, visitors)
from netns import Namespace, run
from services import Pebble, need
from sockets import connect
from waiting import wait_until

SERVERS = ("nginx", "apache", "haproxy")


@pytest.mark.parametrize("kind", SERVERS)
def test_certificate_while_visitors_come(lab, authority, veth, kind):
    """The whole story, with an unchanged server."""
    ground = Ground(lab, authority, veth, kind)
    pebble = Pebble(lab, authority)
    for family, name in ((4, "a.test"), (6, "b.test")):
        pebble.resolve(name, **{f"v{family}": [ground.server(family)]})
    with visitors(ground) as crowd:
        for visitor in crowd:
            visitor.wait_more()
        router = ground.attach(plane="auto")
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
    assert own <= seen and seen - own <= {"127.0.0.1", veth.server4, veth.server6}  # clients that waited for the server, and pebble


@pytest.mark.long
@pytest.mark.parametrize("kind", SERVERS)
def test_lego(lab, authority, veth, kind, tmp_path):
    ground = Ground(lab, authority, veth, kind)
    pebble = Pebble(lab, authority)
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
    """While armed, acme-tls/1 goes to the responder, everything else through alpnbpf to the server, which sees the client."""
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


def test_a_connection_is_the_servers_own_while_unarmed(ground):
    """One connection from client to server: no loopback hop, no proxy."""
    router = ground.attach()
    client = ground.lab.connect((ground.server(), 443), namespace=ground.veth.namespace)
    assert is_the_servers_own(client)
    client.close()
    assert router.sessions() == []


@pytest.mark.alone
@pytest.mark.long
def test_no_wake_up_in_ten_thousand_requests(ground):
    router = ground.attach()
    before = switches_at_rest(router)
    output = ground.lab.child(need("h2load"), "--h1", "-n", "10000", "-c", "50", "-m", "1",
                              f"https://{ground.server()}/client")
    assert output.wait(60) == 0 and "10000 succeeded" in output.text(), output.text()
    for _ in range(200):  # new connections, too
        connect((ground.server(), 443), namespace=ground.veth.namespace).close()
    assert switches(router) == before
    assert router.sessions() == []


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
            crowd[round_ % 2].wait_more(2 if armed else 1)  # the second began while attached
            router.finish()
            seen += router.totals()["sessions"]
    assert seen >= 100 if armed else seen == 0


def test_sessions_live_through_disarming_and_detaching(ground):
    """A connection through alpnbpf stays so until it ends."""
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


def test_killed(ground):
    """Steering ends with the process: the server gets all new connections at once, armed or not."""
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
    """No listener on :443 at attach; served as soon as there is one."""
    ground = Ground(lab, authority, veth, "nginx", wait=False)
    router = ground.attach("--connect-timeout", "1s")
    router.wait_line(r"warn .*nothing listens on .*443")
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


def test_peername_asked_for_by_name_needs_the_cgroup(ground):
    router = ground.lab.failing_router(ACME, 443, "--client-address", "peername", listen=(), bypass=True,
                                       prefix=WITHOUT_CGROUP)
    assert router.wait() == 1
    assert re.search(r"--client-address peername: no cgroup v2 hierarchy is mounted here, .*; use none or transparent", router.text())


def check(*arguments, prefix=()):
    return command("check", "--acme", ACME, *arguments, prefix=prefix)[:2]


def test_check(ground):
    """What would run, and what the web server's listeners are."""
    code, out = check("--https", "443")
    assert code == 0
    assert f"ok   mode: in place, armed while port {ACME} has a listener, hellos read in passing, takeovers leave no trace, clients shown by peername" in out
    for where in (r"0\.0\.0\.0:443 \(IPv4\)", r"\[::\]:443 \(IPv6\)"):
        assert re.search(rf"ok   web server: nginx \(pid {ground.web.child.pid}\) listens on {where}", out), out
    code, out = check("--https", "443", prefix=WITHOUT_CGROUP)
    assert code == 0 and "warn mode: in place, armed always (the cgroup cannot be used): no cgroup v2" in out
    router = ground.attach()
    code, out = check("--https", "443")
    assert code == 1 and re.search(rf"FAIL in place: alpnbpf\S* \(pid {router.pid}\) already serves port 443", out)
    code, out = check("--https", "8443", "--listen", "127.0.0.1:444")
    assert "ok   mode: with bypass, armed while" in out
    code, out = check("--https", "8443", "--listen", "127.0.0.1:444", "--no-bypass")
    assert "ok   mode: front" in out


def test_unprivileged(ground):
    """Without the capabilities: a clear reason, and what to do instead."""
    code, _, error = command("attach", "--acme", ACME, "--https", 443, prefix=UNPRIVILEGED)
    assert code == 1
    assert re.search(r"cannot serve the web server in place: .*missing CAP_BPF.*; instead, move it to another port",
                     error), error


def test_two_attaches(ground):
    """The second one fails and names the first."""
    first = ground.attach()
    second = ground.lab.failing_router(ACME, 443, listen=(), bypass=True)
    assert second.wait() == 1
    assert re.search(rf"alpnbpf\S* \(pid {first.pid}\) already serves port 443", second.text()), second.text()
    assert ground.ask()[0] == ground.veth.client4


def test_server_on_some_addresses_only(lab, authority, veth):
    """A server that does not listen on loopback is reached where the client reached it."""
    ground = Ground(lab, authority, veth, "nginx", hosts=(veth.server4, "127.0.0.1"))
    router = ground.attach()
    with responder():
        assert ground.ask()[0] == veth.client4
        assert ground.ask(path="/server")[0] == f"{veth.server4} 443"
    wait_until(lambda: len(proxied(router)) == 2, 5, "two sessions in the log")


def test_a_family_that_is_switched_off(lab):
    """`--listen 443` names no family: only the available one is served and announced. Naming the other is an error."""
    namespace = Namespace()
    try:
        run(*namespace.prefix(), "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
        for listen in ((), ("--listen", "443")):
            router = lab.router(ACME, 443, *listen, listen=(), bypass=True, prefix=namespace.prefix())
            router.wait_line(r"warn cannot create the private listener for IPv6: .*continuing without it")
            assert router.find(r"ready: at 0\.0\.0\.0:443; ")
            router.finish()
        router = lab.failing_router(ACME, 443, "--listen", "[::]:443", listen=(), bypass=True, prefix=namespace.prefix())
        assert router.wait() == 1
        assert "cannot create the private listener for IPv6" in router.text()
    finally:
        namespace.close()


HOLD_NAME = """
import socket
lock = socket.socket(socket.AF_UNIX)
lock.bind("\\0alpnbpf/in-place/443")
lock.listen()
print("held", flush=True)
input()
"""


def test_another_user_takes_our_name(ground):
    """Any user can bind an abstract name: that must not stop the program."""
    other = ground.lab.child("setpriv", "--reuid=65534", "--clear-groups", "/usr/bin/python3", "-c", HOLD_NAME,
                             stdin=subprocess.PIPE)
    other.wait_line("held")
    code, out = check("--https", "443")
    assert code == 0 and re.search(r"warn in place: python3\S* \(pid \d+\), not known to be root's or alpnbpf's, holds alpnbpf's instance lock", out), out
    router = ground.attach()
    router.wait_line(r"warn python3\S* \(pid \d+\), not known to be root's or alpnbpf's, holds alpnbpf's instance lock")
    with responder():
        assert ground.ask()[0] == ground.veth.client4
    other.stop()


@pytest.mark.parametrize("way", ["bound", "full"])
def test_another_user_takes_our_name_and_is_silent(ground, way):
    """Nor must a name that nobody listens on, or whose queue is full."""
    script = HOLD_NAME.replace("lock.listen()", "" if way == "bound" else "lock.listen(0)\nfor _ in range(1):\n    "
                               'full = socket.socket(socket.AF_UNIX); full.connect("\\0alpnbpf/in-place/443")')
    other = ground.lab.child("setpriv", "--reuid=65534", "--clear-groups", "/usr/bin/python3", "-c", script,
                             stdin=subprocess.PIPE)
    other.wait_line("held")
    router = ground.attach()
    router.wait_line(r"warn another process, not known to be root's or alpnbpf's, holds alpnbpf's instance lock")
    with responder():
        assert ground.ask()[0] == ground.veth.client4
    other.stop()


def test_asking_who_it_is_never_ends(ground):
    """The holder of the lock answers any number of requests, and check never takes the lock."""
    router = ground.attach()
    for _ in range(200):
        with socket.socket(socket.AF_UNIX) as asking:
            asking.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 5, 0))
            asking.connect("\0alpnbpf/in-place/443")  # fails with EAGAIN when its queue stays full for that long
    code, out = check("--https", "443")
    assert code == 1 and f"(pid {router.pid}) already serves port 443" in out
