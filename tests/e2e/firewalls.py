# SPDX-License-Identifier: BSD-2-Clause
"""
Firewalls that people publish, as nftables rules on the server of a VethPair. A forged reset to the web server's socket is
stopped by most of them; none stops the clients.
"""
import contextlib
import re
import subprocess

from netns import run

NEIGHBOURS = "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept"

RESETS = """
table %(family)s resets {
    chain i {
        type filter hook %(hook)s; %(rule)s
    }
}
"""


def of_both_families(**values):
    return "".join(RESETS % {"family": family, **values} for family in ("ip", "ip6"))


RULES = {
    "none": "",
    # Nothing is filtered, but connections are tracked.
    "track": """
table inet f {
    chain i {
        type filter hook input priority 0; ct state established counter accept; ct state invalid counter
    }
}""",
    # Only what connection tracking knows, with nf_conntrack_tcp_loose=0; nothing invalid leaves, either.
    "strict": """
table inet f {
    chain i {
        type filter hook input priority 0; policy drop; ct state invalid counter drop; ct state established,related accept
        iifname "lo" ip saddr 127.0.0.0/8 accept; iifname "lo" ip6 saddr ::1 accept
        tcp dport 443 tcp flags & (syn|ack) == syn ct state new accept; %(neighbours)s
    }
    chain o {
        type filter hook output priority 0; ct state invalid counter drop
    }
}""",
    # Resets: two a second, or none.
    "rstlimit": of_both_families(hook="input priority 0", rule="tcp flags & rst == rst limit rate 2/second burst 2 packets accept; "
                                 "tcp flags & rst == rst drop"),
    "rstin": of_both_families(hook="input priority 0", rule="tcp flags & rst == rst drop"),
    "rstraw": of_both_families(hook="prerouting priority raw", rule="tcp flags & rst == rst drop"),
    # Sources that cannot be: on lo, or of packets that leave.
    "lospoof": """
table inet f {
    chain i {
        type filter hook input priority 0; iifname "lo" ip saddr != 127.0.0.0/8 drop; iifname "lo" ip6 saddr != ::1 drop
    }
}""",
    # The same, and they are told.
    "rejects": """
table inet f {
    chain i {
        type filter hook input priority 0; iifname "lo" ip saddr != 127.0.0.0/8 meta l4proto tcp reject with tcp reset
        iifname "lo" ip6 saddr != ::1 meta l4proto tcp reject with tcp reset
    }
}""",
    "outspoof": """
table inet f {
    chain o {
        type filter hook output priority 0; ip saddr != { %(server4)s, 127.0.0.0/8 } counter drop
        ip6 saddr != { %(server6)s, ::1, fe80::/10 } counter drop
    }
}""",
    # The port is not tracked, what is invalid is dropped.
    "notrack": """
table inet r {
    chain p {
        type filter hook prerouting priority raw; iifname "%(device)s" tcp dport 443 notrack
    }
    chain o {
        type filter hook output priority raw; tcp sport 443 notrack
    }
}
table inet f {
    chain i {
        type filter hook input priority filter; policy drop; ct state { established, related, untracked } accept
        ct state invalid counter drop; iifname "lo" accept; tcp dport 443 accept; %(neighbours)s
    }
}""",
    "published": """
table inet r {
    chain p {
        type filter hook prerouting priority raw; iifname "lo" notrack; iifname "%(device)s" tcp dport 443 notrack
    }
    chain o {
        type filter hook output priority raw; oifname "lo" notrack; oifname "%(device)s" tcp sport 443 notrack
    }
}
table inet f {
    chain i {
        type filter hook input priority filter; policy drop; ct state invalid counter drop; ct state established,related accept
        iifname "lo" accept; iifname "%(device)s" tcp sport 1000-65535 tcp dport 443 counter accept; %(neighbours)s
    }
    chain o {
        type filter hook output priority filter; policy drop; ct state established,related accept; oifname "lo" accept
        oifname "%(device)s" tcp sport 443 tcp dport 1000-65535 accept; %(neighbours)s
    }
}""",
    # The web server sees another source than the one that is on the wire.
    "snatin": """
table inet n {
    chain i {
        type nat hook input priority 100; iifname "%(device)s" tcp dport 443 meta nfproto ipv4 snat ip to 10.99.9.9
        iifname "%(device)s" tcp dport 443 meta nfproto ipv6 snat ip6 to fd99::9
    }
    chain f {
        type filter hook input priority 0; ct state invalid counter drop
    }
}""",
    "redirect": """
table inet n {
    chain p {
        type nat hook prerouting priority dstnat; iifname "%(device)s" tcp dport 443 redirect to :8443
    }
}""",
    # To an address of a routed prefix; see routed() in sites.py.
    "dnat": """
table inet n {
    chain p {
        type nat hook prerouting priority dstnat; iifname "%(device)s" tcp dport 443 meta nfproto ipv4 dnat ip to 10.77.9.5
        iifname "%(device)s" tcp dport 443 meta nfproto ipv6 dnat ip6 to fd00:77:9::5
    }
}""",
    # As rp_filter=1, for both families.
    "fib": """
table inet f {
    chain p {
        type filter hook prerouting priority raw; fib saddr . iif oif missing drop
    }
}""",
    "marks": """
table inet f {
    chain p {
        type filter hook prerouting priority mangle; iifname "e2e-srv2" meta mark set 2
    }
}""",
    "synproxy": """
table inet s {
    chain p {
        type filter hook prerouting priority raw; iifname "%(device)s" tcp dport 443 tcp flags syn notrack
    }
    chain i {
        type filter hook input priority 0; tcp dport 443 ct state { invalid, untracked } synproxy mss 1460 wscale 7 timestamp sack-perm
        ct state invalid drop
    }
}""",
}

PUBLISHED = ("none", "track", "strict", "rstlimit", "rstin", "rstraw", "lospoof", "rejects", "outspoof", "notrack", "published", "snatin")
NOT_LOOSE = ("strict", "synproxy")  # a connection is tracked from its SYN on, or not at all
SEEN_AS = {"snatin": ("10.99.9.9", "fd99::9")}  # what the web server takes for the client's address


@contextlib.contextmanager
def sysctl(**values):
    """Sets them until the end of the block; `__` in a name stands for a slash."""
    before = {}
    for name, value in values.items():
        path = "/proc/sys/" + name.replace("__", "/")
        with open(path) as file:
            before[path] = file.read()
        with open(path, "w") as file:
            file.write(str(value))
    try:
        yield
    finally:
        for path, value in before.items():
            with open(path, "w") as file:
                file.write(value)


@contextlib.contextmanager
def firewall(name, veth):
    """The rules, until the end of the block."""
    with contextlib.ExitStack() as end:
        if name in NOT_LOOSE:
            end.enter_context(sysctl(net__netfilter__nf_conntrack_tcp_loose=0))
        for address in SEEN_AS.get(name, ()):
            route = [address, "via", veth.client6 if ":" in address else veth.client4]
            run("ip", "route", "add", *route)
            end.callback(run, "ip", "route", "del", *route)
        end.callback(run, "nft", "flush", "ruleset")
        rules = RULES[name] % {"device": veth.device, "server4": veth.server4, "server6": veth.server6, "neighbours": NEIGHBOURS}
        subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)
        yield


class Conntrack:
    """The state that connection tracking has of connections that began after this, by the client's port."""

    ENTRY = re.compile(r"tcp +6 \d+ (\w+) .*?sport=(\d+) dport=(?:443|8443) ")

    def __init__(self):
        try:
            self._file = open("/proc/net/nf_conntrack")  # of this namespace, whoever reads it
        except FileNotFoundError:
            self._file = None
        self._before = {}  # a network where nothing is tracked has entries of one before it
        self._before = self._states()

    def _states(self):
        if not self._file:
            return {}
        self._file.seek(0)
        entries = map(self.ENTRY.search, self._file)
        return {int(entry.group(2)): entry.group(1) for entry in entries if entry and int(entry.group(2)) not in self._before}

    def state(self, port):
        """ESTABLISHED, CLOSE …; None where nothing is tracked."""
        return self._states().get(port)
