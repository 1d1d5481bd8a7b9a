# SPDX-License-Identifier: BSD-2-Clause
"""When connections are inspected: exactly while a process listens on the ACME port."""
import contextlib
import re
import socket
import subprocess

import pytest

from acme_client import listening
from hellos import acme_hello
from in_place import ACME, NO_MOUNTS, WITHOUT_CGROUP, proxied, responder, visitors
from netns import Namespace, run
from sockets import Listener, connect
from waiting import wait_until

IPPROTO_MPTCP = 262  # not in every Python


@pytest.mark.parametrize("inspect", ["steer", "watch"])
def test_first_connection_after_listen_is_seen(ground, inspect):
    """No polling: arming is over when listen() returns, also where connections are steered until they are watched."""
    ground.attach(inspect=inspect)
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
    """Several listeners, IPv4 and IPv6, of other processes, from before attach or not: armed until the last one closes."""
    hosts = ("127.0.0.1", "::1", "0.0.0.0")
    with responder(host="127.0.0.2"):
        router = ground.attach()
        ground.ask()
        wait_until(lambda: len(proxied(router)) == 1, 5, "a session: armed by a listener that was there before")
        router.wait_line(r"armed: the ACME client listens on 127\.0\.0\.2:10443;")
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
    """From before attach or not: none is missed, and disarming comes within a second after the last one closes."""
    with contextlib.ExitStack() as stack:
        for number in range(1, 20):
            stack.enter_context(responder(host=f"127.0.1.{number}"))
        router = ground.attach()
        ground.ask()
    router.wait_line("disarmed")
    ground.ask()
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(responder(host=f"127.0.2.{number}")) for number in range(1, 30)]
        ground.ask()
        for listener in listeners[:-1]:
            listener.close()
        ground.ask()
    wait_until(lambda: router.text().count("disarmed") == 2, 5, "disarmed again")
    ground.ask()
    router.finish()
    assert router.totals()["sessions"] == 3


def mptcp_listener():
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", ACME))
    listener.listen()
    return listener


def test_a_listener_the_kernel_cannot_watch(ground):
    """MPTCP, as Go's net.Listen opens: a sockmap cannot hold it. Served, logged, and disarmed after it closes."""
    listener = mptcp_listener()
    router = ground.attach()
    router.wait_line(r"armed: .* on 127.0.0.1:10443; .*disarming may lag by a second")
    assert router.find(r"ready: .*armed while port 10443 has a listener")
    for round_ in range(2):
        with connect((ground.server(), 443), namespace=ground.veth.namespace).sock as client:
            client.sendall(acme_hello())
            connection = listener.accept()[0]
            assert connection.recv(5)
            connection.close()
        # A listener that closes before the main thread looks is not logged.
        wait_until(lambda: router.text().count("info armed:") == round_ + 1, 5, "armed")
        listener.close()
        wait_until(lambda: router.text().count("disarmed") == round_ + 1, 5, "disarmed")
        ground.ask()
        if round_ == 0:
            listener = mptcp_listener()
    wait_until(lambda: len(proxied(router, "acme")) == 2, 5, "two ACME sessions in the log")
    assert not proxied(router)


@pytest.mark.long
def test_a_thousand_arms_without_a_failure(ground):
    router = ground.attach(log_level="info")
    with visitors(ground) as crowd:
        for round_ in range(1000):
            with responder():
                if round_ % 50 == 0:
                    crowd[round_ // 50 % 2].wait_more(2)  # the second began while armed
    router.finish()
    totals = router.totals()
    assert totals["sessions"] >= 20 and totals["sessions"] == totals.get("end_done", 0) + totals.get(
        "end_client_left", 0), totals


@pytest.mark.parametrize("family", [4, 6])
def test_without_a_cgroup(ground, family):
    """As in a container without one: logs it, stays armed, and steers no connection back to itself."""
    router = ground.attach(prefix=WITHOUT_CGROUP)
    router.wait_line(r"warn cannot detect when the ACME client listens: no cgroup v2")
    for _ in range(20):
        assert ground.ask(family, "/server")[0] == f"{ground.server(family)} 443"
    wait_until(lambda: len(proxied(router)) == 20, 5, "all in the log")


def test_a_cgroup_that_is_not_ours(ground, tmp_path):
    """A container may see a part of the hierarchy that does not contain it: sock_ops would see nothing there."""
    root, part = tmp_path / "root", tmp_path / "part"
    root.mkdir()
    part.mkdir()
    run("mount", "-t", "cgroup2", "none", str(root))
    try:
        (root / "alpnbpf-e2e").mkdir(exist_ok=True)
        script = f'mount --bind {root}/alpnbpf-e2e {part} && umount -l {root} && for m in ' \
            f'$(grep " cgroup2 " /proc/self/mounts | cut -d " " -f 2 | grep -vx {part}); do umount -l "$m"; done; ' \
            f'exec {NO_MOUNTS} "$@"'
        router = ground.attach(prefix=["unshare", "--mount", "sh", "-c", script, "sh"])
        router.wait_line(r"warn cannot detect .*cgroup \S+/part is not the root of the hierarchy")
        for _ in range(3):
            ground.ask()
        wait_until(lambda: len(proxied(router)) == 3, 5, "all in the log")
        router.finish()
    finally:
        (root / "alpnbpf-e2e").rmdir()
        run("umount", str(root))


def arms_in_place(ground, router):
    """It sees the responder come, and the server's own connections stay its own."""
    router.wait_line("ready: .*in place, armed while port 10443 has a listener")
    ground.ask()
    with responder():
        router.wait_line("armed: the ACME client listens")
    ground.ask()


def test_a_cgroup_mount_that_is_hidden(ground):
    """As by `ip netns exec`: with the right to, the program mounts the hierarchy where nobody else sees it."""
    router = ground.attach(prefix=["unshare", "--mount", "sh", "-c", 'umount -a -l -t cgroup2 && exec "$@"', "sh"])
    arms_in_place(ground, router)
    assert "cgroup2" not in open(f"/proc/{router.pid}/mountinfo").read()


def test_a_root_that_mountinfo_calls_otherwise(ground, tmp_path):
    """A container with a cgroup namespace of its own, and the host's hierarchy mounted besides: its name there is /.. ."""
    root = tmp_path / "root"
    root.mkdir()
    run("mount", "-t", "cgroup2", "none", str(root))
    part = root / "alpnbpf-e2e-part"
    part.mkdir(exist_ok=True)
    script = f'echo $$ > {part}/cgroup.procs && exec unshare --mount --cgroup sh -c \'for m in ' \
        f'$(grep " cgroup2 " /proc/self/mounts | cut -d " " -f 2 | grep -vx {root}); do umount -l "$m"; done; ' \
        f'exec {NO_MOUNTS} "$@"\' sh "$@"'
    router = ground.attach(prefix=["sh", "-c", script, "sh"])
    try:
        arms_in_place(ground, router)
        mounts = run("nsenter", "--cgroup", "--mount", "-t", str(router.pid), "cat", "/proc/self/mountinfo")
        assert re.search(rf" /\.\. {root} .* cgroup2 ", mounts), mounts
        router.finish()
    finally:
        part.rmdir()
        run("umount", str(root))


def test_namespaces_do_not_see_each_other(ground, authority):
    """Each with its own attach: a listener in one arms only that one."""
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


def test_always_armed(ground):
    router = ground.attach("--arm", "always")
    ground.ask()
    wait_until(lambda: proxied(router), 5, "a session in the log")
    assert router.find(r"ready: .*armed always \(--arm always\)")
    assert not listening(ACME)
