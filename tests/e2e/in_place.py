# SPDX-License-Identifier: BSD-2-Clause
"""The set-up for in-place tests: a web server on :443, clients behind a veth pair, a listener on the ACME port."""
import contextlib
import os

from children import ours
from netns import run
from sockets import Listener, connect
from visitors import Visitor, ask, client_context
from waiting import wait_until
from web_servers import WebServer

ACME = 10443
NO_MOUNTS = "setpriv --bounding-set -sys_admin --inh-caps -sys_admin"  # as in a container
WITHOUT_CGROUP = ["unshare", "--mount", "sh", "-c", f'umount -a -l -t cgroup2 && exec {NO_MOUNTS} "$@"', "sh"]


class Ground:
    """A web server on :443, and clients behind a veth pair."""

    def __init__(self, lab, authority, veth, kind, **options):
        self.lab, self.authority, self.veth = lab, authority, veth
        self.web = WebServer(lab, kind, 443, authority, **options)
        self.context = client_context(authority.file)

    def server(self, family=4):
        return self.veth.server4 if family == 4 else self.veth.server6

    def attach(self, *options, inspect="steer", **keywords):
        """Steers by default, since most tests are about sessions; test_watch.py is about connections that are no sessions."""
        return self.lab.router(ACME, 443, *options, "--inspect", inspect, listen=(), bypass=True, **keywords)

    def ask(self, family=4, path="/client"):
        """The server's answer to a client of the other namespace, and the client's address."""
        local, body = ask((self.server(family), 443), self.context, path, self.veth.namespace)
        return body.removeprefix("::ffff:"), local[0]

    def visitor(self, family):
        visitor = Visitor((self.server(family), 443), self.authority.file, self.veth.namespace)
        visitor.start()
        return visitor


@contextlib.contextmanager
def visitors(ground, families=(4, 6)):
    """Sends requests continuously; none may fail, and each answer has the client's own address."""
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
    """A listener on the ACME port."""
    listener = Listener(host=host, port=port)
    try:
        yield listener
    finally:
        listener.close()


@contextlib.contextmanager
def armed(router, **options):
    """A listener on the ACME port, which the program has noticed: it watches, if that is its mode."""
    start = len(router.lines())
    with responder(**options) as listener:
        wait_until(lambda: router.find(r"armed: the ACME client listens on", start), 5, "armed")
        yield listener


def proxied(router, route="https"):
    return [closed for closed in router.sessions() if closed.route == route]


def switches(router):
    """Context switches of all threads: each wake-up is one."""
    total = 0
    for line in run("cat", *[f"/proc/{pid}/task/{task}/status" for pid, task in tasks(router)]).splitlines():
        if "ctxt_switches" in line:
            total += int(line.split()[1])
    return total


def switches_at_rest(router):
    """The same, once all threads sleep: after a start, or after a command."""
    seen = []

    def at_rest():
        seen.append(switches(router))
        return len(seen) > 2 and seen[-3] == seen[-1]

    wait_until(at_rest, 5, "its threads to sleep", poll=0.05)
    return seen[-1]


def tasks(router):
    """(pid, task) of each thread of its processes."""
    return [(pid, task) for pid in (router.pid, *ours(router.pid)) for task in os.listdir(f"/proc/{pid}/task")]


def slow_request(ground):
    """An established connection with half of its request sent."""
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


def established(where):
    """(local end, peer, owners) of connections, as ss has them."""
    return [line.split(maxsplit=4)[2:] for line in run("ss", "-Htnp", "state", "established", where).splitlines()]


def own_ends(router, port=443):
    """(host, port) of each connection of the program to the web server."""
    ends = [local.rpartition(":") for local, _, *owner in established(f"dport = {port}") if f"pid={router.workers_pid}," in str(owner)]
    return [(host, int(number)) for host, _, number in ends]


def descriptors(router, port=443):
    return len(own_ends(router, port))


def is_the_servers_own(client):
    """The other end is a socket of the web server, without a process in between."""
    name = f"{client.local[0]}:{client.local[1]}"
    wait_until(lambda: "nginx" in str([owner for _, peer, *owner in established("sport = 443") if peer == name]), 5,
               "nginx to have accepted it")
    return len(established("sport = 443")) == 1
