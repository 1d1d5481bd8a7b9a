# SPDX-License-Identifier: BSD-2-Clause
"""
Where validations have to get through: NETWORKS, each a context manager of (lab, veth) that gives a Site for clients of a web
server on :443, with its firewall, routes and sysctls until the end of the block; and SERVERS, of (lab, authority, veth), with
a web server that is not the usual one.
"""
import contextlib
import json
from dataclasses import dataclass

import pytest

from firewalls import PUBLISHED, SEEN_AS, firewall, sysctl
from link import linked
from netns import VethPair, run
from trial import Place, PythonServer, Watched
from waiting import wait_until

NETWORKS, SERVERS = {}, {}


@dataclass
class Site:
    """The places of clients; the program and its web server, if it is not the usual one; `silent`: see Outcome.faults()."""
    places: list
    silent: bool = True
    watched: Watched = None


def network(function):
    NETWORKS[function.__name__] = contextlib.contextmanager(function)
    return function


def server(function):
    SERVERS[function.__name__] = contextlib.contextmanager(function)
    return function


def both(pair, seen=(None, None)):
    """Clients of both families."""
    return [Place(pair.namespace, (pair.server4, 443), seen[0]), Place(pair.namespace, (pair.server6, 443), seen[1])]


@contextlib.contextmanager
def routes(*words, prefix=()):
    """`ip WORDS`, each with an `add` that becomes a `del` at the end."""
    with contextlib.ExitStack() as end:
        for command in words:
            command = command.split()
            run(*prefix, "ip", *command)
            end.callback(run, *prefix, "ip", *["del" if word == "add" else word for word in command])
        yield


def behind(rules):
    """The firewall of this name, and nothing else."""
    def begin(_lab, veth):
        with firewall(rules, veth):
            yield Site(both(veth, SEEN_AS.get(rules, (None, None))))

    return contextlib.contextmanager(begin)


for published in PUBLISHED:
    NETWORKS[published] = behind(published)


@server
def redirect(lab, authority, veth):
    """The web server listens on 8443; the firewall brings it what is for 443."""
    with firewall("redirect", veth):
        yield Site(both(veth), watched=Watched(lab, authority, port=8443))


@network
def dnat(lab, veth):
    """To an address of a prefix that is routed to this machine."""
    with firewall("dnat", veth), routes("route add local 10.77.9.0/24 dev lo", "-6 route add local fd00:77:9::/64 dev lo"):
        yield Site(both(veth))


@network
def rp_filter(lab, veth):
    """Strict: a source is accepted only from where its answer would go."""
    with sysctl(net__ipv4__conf__all__rp_filter=1):
        yield Site(both(veth))


@network
def fib_filter(lab, veth):
    """The same, as an nftables rule, for both families."""
    with firewall("fib", veth):
        yield Site(both(veth))


@network
def synproxy(lab, veth):
    with firewall("synproxy", veth):
        yield Site(both(veth), silent=False)


@contextlib.contextmanager
def two_uplinks(veth):
    """A second veth pair; both have a default route, the second one's in table 102."""
    second = VethPair("e2e-srv2", "e2e-cli2", 3)
    try:
        with routes(f"route add default via {veth.client4} dev {veth.device}",
                    f"-6 route add default via {veth.client6} dev {veth.device}",
                    f"route add default via {second.client4} dev {second.device} table 102",
                    f"-6 route add default via {second.client6} dev {second.device} table 102"):
            yield second
    finally:
        second.close()


@contextlib.contextmanager
def far_clients(pair, number):
    """Clients of this pair have addresses that no interface of the server has a route for."""
    far4, far6 = f"198.18.{number}.9", f"fd00:18:{number}::9"
    prefix = pair.namespace.prefix()
    with routes(f"addr add {far4}/32 dev lo", f"-6 addr add {far6}/128 dev lo", prefix=prefix):
        # The kernel has it a moment later, also where nobody is asked whether it is in use.
        wait_until(lambda: not run(*prefix, "ip", "-6", "addr", "show", "dev", "lo", "tentative"), 5, f"{far6} to be usable")
        with routes(f"route add {pair.server4}/32 dev {pair.peer} src {far4}",
                    f"-6 route add {pair.server6}/128 dev {pair.peer} src {far6}", prefix=prefix):
            yield


@network
def marks(lab, veth):
    """What comes in by the second uplink is marked, and answers have the mark of their connection (tcp_fwmark_accept)."""
    with two_uplinks(veth) as second, far_clients(veth, 1), far_clients(second, 3), firewall("marks", veth), \
            sysctl(net__ipv4__tcp_fwmark_accept=1), routes("rule add fwmark 2 table 102", "-6 rule add fwmark 2 table 102"):
        yield Site(both(veth) + both(second))


@network
def source_rules(lab, veth):
    """What has the second uplink's address leaves by it."""
    with two_uplinks(veth) as second, far_clients(veth, 1), far_clients(second, 3), \
            routes(f"rule add from {second.server4} table 102", f"-6 rule add from {second.server6} table 102"):
        yield Site(both(veth) + both(second))


@network
def tun(lab, veth):
    with linked(lab) as link:
        yield Site(both(link))


@network
def fragments(lab, veth):
    """Every segment of a hello comes in pieces of 256 bytes, and so do the answers."""
    with linked(lab, fragment=256) as link:
        yield Site(both(link))


@contextlib.contextmanager
def on_device(veth, device, number, peer=None):
    """Addresses on another device of the server, and of the clients on theirs."""
    peer, prefix = peer or veth.peer, veth.namespace.prefix()
    v4, v6 = f"10.77.{number}", f"fd00:77:{number}:"
    for words, name, last in (([], device, 1), (prefix, peer, 2)):
        run(*words, "ip", "addr", "add", f"{v4}.{last}/24", "dev", name)
        run(*words, "ip", "addr", "add", f"{v6}:{last}/64", "dev", name, "nodad")
        run(*words, "ip", "link", "set", name, "up")
    try:
        yield Site([Place(veth.namespace, (f"{v4}.1", 443)), Place(veth.namespace, (f"{v6}:1", 443))])
    finally:
        if peer == veth.peer:
            run(*prefix, "ip", "neigh", "flush", "dev", peer)  # the next device of this address has another one of its own
            run(*prefix, "ip", "addr", "del", f"{v4}.2/24", "dev", peer)
            run(*prefix, "ip", "addr", "del", f"{v6}:2/64", "dev", peer)


@network
def vlan(lab, veth):
    try:
        run("ip", "link", "add", "link", veth.device, "name", "e2e-vlan", "type", "vlan", "id", "7")
    except RuntimeError as error:
        pytest.skip(f"this kernel has no VLANs: {error}")
    try:
        run(*veth.namespace.prefix(), "ip", "link", "add", "link", veth.peer, "name", "e2e-vlan", "type", "vlan", "id", "7")
        with on_device(veth, "e2e-vlan", 7, "e2e-vlan") as site:
            yield site
    finally:
        run("ip", "link", "del", "e2e-vlan")


@network
def bridge(lab, veth):
    """The device is a port of a bridge, which has the addresses; what passes it meets ebtables and no firewall of IP."""
    run("ip", "link", "add", "e2e-bridge", "type", "bridge", "forward_delay", "0")
    try:
        run("ip", "link", "set", veth.device, "master", "e2e-bridge")
        with on_device(veth, "e2e-bridge", 8) as site:
            yield site
    finally:
        run("ip", "link", "del", "e2e-bridge")


@network
def macvlan(lab, veth):
    run("ip", "link", "add", "link", veth.device, "name", "e2e-macvlan", "type", "macvlan", "mode", "bridge")
    try:
        with on_device(veth, "e2e-macvlan", 10) as site:
            yield site
    finally:
        run("ip", "link", "del", "e2e-macvlan")


def link_local_place(veth):
    """A client that has only the link: both ends have addresses of one interface."""
    show = ["ip", "-j", "-6", "addr", "show", "scope", "link", "dev"]

    def address(device, prefix=()):
        """Once it is known to be nobody else's."""
        interfaces = json.loads(run(*prefix, *show, device))
        return next((found["local"] for interface in interfaces for found in interface["addr_info"]
                     if "local" in found and not found.get("tentative")), None)

    local = wait_until(lambda: address(veth.peer, veth.namespace.prefix()) and address(veth.device), 5, "link-local addresses")
    interface = json.loads(run(*veth.namespace.prefix(), "ip", "-j", "link", "show", "dev", veth.peer))[0]["ifindex"]
    return Place(veth.namespace, (local, 443, 0, interface))


@network
def link_local(lab, veth):
    yield Site([link_local_place(veth)])


@server
def device_bound(lab, authority, veth):
    """The web server's listener is bound to a device."""
    web = PythonServer(lab, authority, "--device", veth.device)
    yield Site([*both(veth), link_local_place(veth)], watched=Watched(lab, authority, web=web))


@server
def mptcp(lab, authority, veth):
    """A listener as Go makes it: every request has room for MPTCP, also that of a client without."""
    web = PythonServer(lab, authority, "--mptcp")
    yield Site(both(veth), silent=False, watched=Watched(lab, authority, web=web))


@network
def syn_cookies(lab, veth):
    with sysctl(net__ipv4__tcp_syncookies=2):
        yield Site(both(veth), silent=False)


@server
def deferred(lab, authority, veth):
    yield Site(both(veth), watched=Watched(lab, authority, parameters="deferred"))


@server
def reuseport(lab, authority, veth):
    yield Site(both(veth), watched=Watched(lab, authority, parameters="reuseport"))
