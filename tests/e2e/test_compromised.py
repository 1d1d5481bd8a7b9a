# SPDX-License-Identifier: BSD-2-Clause
"""
Each process with an attacker's hand in it (injected.py): what it is refused, and what it can still do, which
docs/SECURITY.md lists. Started by root, in place, reading hellos in passing, with every right that it would keep.
"""
import errno
import fcntl
import os
import resource
import socket
import struct
import tempfile
from errno import EACCES, EBADF, EINVAL, ENOSYS, EPERM

import pytest

from children import children_of, comm_of
from hellos import acme_hello, https_hello
from helpers import helper_of
from in_place import armed
from injected import HERE, Hand, maps_of
from watched import Plain, exchange

pytestmark = pytest.mark.skipif(not HERE, reason="the numbers of system calls are those of x86-64")

OK = 0
MAIN, WORKERS, HELPER = "main", "workers", "helper"
AT, LOOPBACK = 20443, "127.0.0.1"  # a port below those that the kernel chooses


def process(router, role):
    """(pid, tid): a thread that does this work."""
    if role == HELPER:
        return helper_of(router.pid), None
    if role == MAIN:
        return router.pid, None
    pid = next(child for child in children_of(router.pid) if comm_of(child) == "alpnbpf-workers")
    return pid, max(int(task) for task in os.listdir(f"/proc/{pid}/task"))


class Hands:
    """The attempts. Each returns 0, or the error's number."""

    def __init__(self, hand, site):
        self.hand, self.site = hand, site

    def call(self, name, *arguments):
        result = self.hand.call(name, *arguments)
        if result >= 0 and name in ("openat", "socket", "memfd_create", "pidfd_open", "userfaultfd", "io_uring_setup"):
            self.hand.call("close", result)
        return -min(result, 0)

    def open(self, path, flags=os.O_RDONLY):
        return self.call("openat", -100, path, flags, 0o600)

    def socket(self, *kind, then=()):
        """Each step of `then` is a call with the socket as its first argument."""
        fd = self.hand.call("socket", *kind)
        result = fd
        for name, *arguments in then if fd >= 0 else ():
            result = self.hand.call(name, fd, *arguments)
            if result < 0:
                break
        if fd >= 0:
            self.hand.call("close", fd)
        return -min(result, 0)

    def tcp(self, *then):
        return self.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, then=then)

    def option(self, level, name, value=struct.pack("i", 1)):
        return self.tcp(("setsockopt", level, name, value, len(value)))

    def bpf(self, command):
        return self.call("bpf", command, bytes(128), 128)

    def netlink(self, message):
        """The error in the kernel's answer."""
        fd = self.hand.call("socket", socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        if fd < 0:
            return -fd
        result = self.ask(fd, message)
        self.hand.call("close", fd)
        return result

    def ask(self, fd, message):
        assert self.hand.call("sendto", fd, message, len(message), 0, 0, 0) == len(message)
        assert self.hand.call("recvfrom", fd, bytes(512), 512, 0, 0, 0) >= 20
        return -struct.unpack_from("i", self.hand.argument(20), 16)[0]


def at(host, port):
    return struct.pack("=H", socket.AF_INET) + struct.pack(">H", port) + socket.inet_aton(host) + bytes(8)


def bind(port, host=LOOPBACK):
    return ("bind", at(host, port), 16)


UNIX = struct.pack("=H", socket.AF_UNIX)
# Sets the flag IFF_UP of lo, which it has.
LINK = struct.pack("=IHHII BBHiII", 32, 16, 5, 1, 0, 0, 0, 0, 1, 1, 1)
SIGCHLD = 17
F_SETSIG = 10

REFUSED = (ENOSYS, ENOSYS, ENOSYS)

# name: attempt, then the error of main, of the workers, of the helper
ATTEMPTS = {
    # files
    "/etc/shadow": (lambda h: h.open("/etc/shadow"), EACCES, ENOSYS, ENOSYS),
    "root's files": (lambda h: h.open("/root/.profile"), EACCES, ENOSYS, ENOSYS),
    "/etc/passwd": (lambda h: h.open("/etc/passwd"), OK, ENOSYS, ENOSYS),
    "a new file in /etc": (lambda h: h.open("/etc/cron.d/alpnbpf-test", os.O_WRONLY | os.O_CREAT), EACCES, ENOSYS, ENOSYS),
    "a new file in /tmp": (lambda h: h.open("/tmp/alpnbpf-test", os.O_WRONLY | os.O_CREAT), EACCES, ENOSYS, ENOSYS),
    "its memory as a file": (lambda h: h.open("/proc/self/mem", os.O_RDWR), EACCES, ENOSYS, ENOSYS),
    "main's memory": (lambda h: h.open(f"/proc/{h.site.main}/mem"), EACCES, ENOSYS, ENOSYS),
    "the workers' memory": (lambda h: h.open(f"/proc/{h.site.workers}/mem"), EACCES, ENOSYS, ENOSYS),
    "the helper's memory": (lambda h: h.open(f"/proc/{h.site.helper}/mem"), EACCES, ENOSYS, ENOSYS),
    "init's environment": (lambda h: h.open("/proc/1/environ"), EACCES, ENOSYS, ENOSYS),
    "openat2": (lambda h: h.call("openat2", -100, "/etc/passwd", bytes(24), 24), *REFUSED),
    "mkdir": (lambda h: h.call("mkdir", "/tmp/alpnbpf-test", 0o700), *REFUSED),
    "chmod": (lambda h: h.call("chmod", "/etc/passwd", 0o666), *REFUSED),
    "mount": (lambda h: h.call("mount", "none", "/mnt", "tmpfs", 0, 0), *REFUSED),
    "chroot": (lambda h: h.call("chroot", "/proc"), *REFUSED),
    # ports and connections
    "a connection anywhere": (lambda h: h.tcp(("connect", at(LOOPBACK, h.site.other.port), 16)), OK, OK, OK),
    "a port that the kernel chooses": (lambda h: h.tcp(bind(0)), OK, OK, OK),
    "a port below 1024": (lambda h: h.tcp(bind(81)), EACCES, EACCES, OK),
    "a listener": (lambda h: h.tcp(("listen", 1)), OK, ENOSYS, ENOSYS),
    "a listener below 1024": (lambda h: h.tcp(bind(81), ("listen", 1)), EACCES, EACCES, ENOSYS),
    "a listener at a port": (lambda h: h.tcp(bind(AT), ("listen", 1)), OK, (EACCES, ENOSYS), ENOSYS),
    "root's unix socket": (lambda h: h.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, then=[
        ("connect", UNIX + h.site.path.encode() + b"\0", 2 + len(h.site.path) + 1)]), EACCES, EACCES, ENOSYS),
    # kinds of sockets
    "raw": (lambda h: h.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP), *REFUSED),
    "raw, IPv6": (lambda h: h.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6), *REFUSED),
    "packets": (lambda h: h.socket(socket.AF_PACKET, socket.SOCK_RAW, 0x300), *REFUSED),
    "MPTCP": (lambda h: h.socket(socket.AF_INET, socket.SOCK_STREAM, 262), *REFUSED),
    "SCTP": (lambda h: h.socket(socket.AF_INET, socket.SOCK_STREAM, 132), *REFUSED),
    "AF_ALG": (lambda h: h.socket(38, socket.SOCK_SEQPACKET, 0), *REFUSED),
    "AF_VSOCK": (lambda h: h.socket(40, socket.SOCK_STREAM, 0), *REFUSED),
    "AF_XDP": (lambda h: h.socket(44, socket.SOCK_RAW, 0), *REFUSED),
    "UDP": (lambda h: h.socket(socket.AF_INET, socket.SOCK_DGRAM, 0), OK, ENOSYS, ENOSYS),
    "routes": (lambda h: h.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE), OK, ENOSYS, ENOSYS),
    "a change of a link": (lambda h: h.netlink(LINK), EPERM, ENOSYS, ENOSYS),
    "sock_diag": (lambda h: h.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4), OK, ENOSYS, ENOSYS),
    "netfilter": (lambda h: h.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12), *REFUSED),
    "xfrm": (lambda h: h.socket(socket.AF_NETLINK, socket.SOCK_RAW, 6), *REFUSED),
    "generic netlink": (lambda h: h.socket(socket.AF_NETLINK, socket.SOCK_RAW, 16), *REFUSED),
    # options of sockets
    "TCP_REPAIR": (lambda h: h.option(6, 19), ENOSYS, ENOSYS, OK),
    "IP_TRANSPARENT": (lambda h: h.option(0, 19), ENOSYS, ENOSYS, OK),
    "SO_MARK": (lambda h: h.option(1, 36), ENOSYS, ENOSYS, OK),
    "SO_RCVBUFFORCE": (lambda h: h.option(1, 33), EPERM, EPERM, ENOSYS),
    "SO_REUSEADDR": (lambda h: h.option(1, 2), OK, ENOSYS, OK),
    "SO_BINDTODEVICE": (lambda h: h.option(1, 25, b"lo\0\0"), *REFUSED),
    "SO_ATTACH_FILTER": (lambda h: h.option(1, 26, bytes(16)), *REFUSED),
    "SO_ATTACH_BPF": (lambda h: h.option(1, 50), *REFUSED),
    "the firewall's rules": (lambda h: h.option(0, 64, bytes(96)), *REFUSED),
    "multicast routing": (lambda h: h.option(0, 200), *REFUSED),
    "TCP_ULP": (lambda h: h.option(6, 31, b"tls\0"), *REFUSED),
    # processes
    "a signal for init": (lambda h: h.call("kill", 1, 0), *REFUSED),
    "a signal for a stranger": (lambda h: h.call("kill", os.getpid(), 0), *REFUSED),
    "a signal for main": (lambda h: h.call("kill", h.site.main, 0), *REFUSED),
    "a signal for the workers": (lambda h: h.call("kill", h.site.workers, 0), OK, ENOSYS, ENOSYS),
    "a signal for the helper": (lambda h: h.call("kill", h.site.helper, 0), *REFUSED),
    "a signal for a thread": (lambda h: h.call("tgkill", os.getpid(), os.getpid(), 0), *REFUSED),
    "a signal by a socket": (lambda h: h.tcp(("fcntl", fcntl.F_SETOWN, h.site.main)), *REFUSED),
    "which signal that is": (lambda h: h.tcp(("fcntl", F_SETSIG, 19)), *REFUSED),
    "flags that others share": (lambda h: h.call("fcntl", 2, fcntl.F_SETFL, 0), *REFUSED),
    "a signal by pidfd": (lambda h: h.call("pidfd_open", h.site.main, 0), *REFUSED),
    "fork": (lambda h: h.call("fork"), *REFUSED),
    "a process by clone": (lambda h: h.call("clone", SIGCHLD, 0, 0, 0, 0), *REFUSED),
    "clone3": (lambda h: h.call("clone3", bytes(64), 64), *REFUSED),
    "execve": (lambda h: h.call("execve", "/bin/true", 0, 0), *REFUSED),
    "execveat": (lambda h: h.call("execveat", -100, "/bin/true", 0, 0, 0), *REFUSED),
    "ptrace": (lambda h: h.call("ptrace", 16, h.site.main, 0, 0), *REFUSED),
    "another's memory": (lambda h: h.call("process_vm_readv", h.site.main, bytes(16), 1, bytes(16), 1, 0), *REFUSED),
    "another's memory, written": (lambda h: h.call("process_vm_writev", h.site.main, bytes(16), 1, bytes(16), 1, 0), *REFUSED),
    "another's descriptor": (lambda h: h.call("pidfd_getfd", 0, 0, 0), *REFUSED),
    "another user": (lambda h: h.call("setuid", 0), *REFUSED),
    "capabilities": (lambda h: h.call("capset", bytes(8), bytes(24)), *REFUSED),
    "a user namespace": (lambda h: h.call("unshare", 0x10000000), *REFUSED),
    "another namespace": (lambda h: h.call("setns", 0, 0), *REFUSED),
    "to be looked into": (lambda h: h.call("prctl", 4, 1, 0, 0, 0), *REFUSED),
    "a limit": (lambda h: h.call("prlimit64", 0, 7, bytes(16), 0), *REFUSED),
    # memory
    "memory to write and execute": (lambda h: h.call("mmap", 0, 4096, 7, 0x22, -1, 0), *REFUSED),
    "to execute what was written": (lambda h: h.call("mprotect", h.hand.scratch, 4096, 5), *REFUSED),
    "the same, with a key": (lambda h: h.call("pkey_mprotect", h.hand.scratch, 4096, 5, -1), *REFUSED),
    "memfd_create": (lambda h: h.call("memfd_create", "x", 0), *REFUSED),
    "userfaultfd": (lambda h: h.call("userfaultfd", 0), *REFUSED),
    # the kernel
    "a BPF map": (lambda h: h.bpf(0), *REFUSED),
    "a BPF program": (lambda h: h.bpf(5), *REFUSED),
    "a pin": (lambda h: h.bpf(6), *REFUSED),
    "a pinned object": (lambda h: h.bpf(7), *REFUSED),
    "a program attached": (lambda h: h.bpf(8), *REFUSED),
    "another's program": (lambda h: h.bpf(13), *REFUSED),
    "another's map": (lambda h: h.bpf(14), *REFUSED),
    "a raw tracepoint": (lambda h: h.bpf(17), *REFUSED),
    "a link": (lambda h: h.bpf(28), ENOSYS, ENOSYS, (EBADF, EINVAL)),
    "a link changed": (lambda h: h.bpf(29), *REFUSED),
    "a link detached": (lambda h: h.bpf(34), *REFUSED),
    "io_uring": (lambda h: h.call("io_uring_setup", 8, bytes(120)), *REFUSED),
    "perf": (lambda h: h.call("perf_event_open", bytes(120), 0, -1, -1, 0), *REFUSED),
    "a key": (lambda h: h.call("keyctl", 0, -3, 1), *REFUSED),
    "a kernel module": (lambda h: h.call("init_module", bytes(8), 8, ""), *REFUSED),
    "another seccomp list": (lambda h: h.call("seccomp", 1, 0, bytes(16)), *REFUSED),
}

# What the workers must not have: what decides whose ports are served, and what programs that everybody meets read.
WORKERS_MAPS = {"alpnbpf_own", "alpnbpf_connect", "alpnbpf_takeovr", "alpnbpf_socks", "alpnbpf_slots", "alpnbpf_ring"}


class Site:
    """What the attempts need of this machine."""

    def __init__(self, lab, router):
        self.main, self.workers, self.helper = (process(router, role)[0] for role in (MAIN, WORKERS, HELPER))
        self.other = lab.listener()
        self.folder = tempfile.mkdtemp()
        os.chmod(self.folder, 0o755)
        self.path = f"{self.folder}/root"
        self.roots = socket.socket(socket.AF_UNIX)
        self.roots.bind(self.path)
        self.roots.listen(8)
        os.chmod(self.path, 0o600)

    def close(self):
        self.roots.close()
        os.unlink(self.path)
        os.rmdir(self.folder)


@pytest.fixture(name="plain")
def _plain(lab, veth):
    plain = Plain(lab, veth)
    if plain.router.find("not limited in a sanitizer build"):
        pytest.skip("no system calls are limited in a sanitizer build")
    return plain


@pytest.fixture(name="site")
def _site(lab, plain):
    site = Site(lab, plain.router)
    yield site
    site.close()


def text(number):
    return errno.errorcode[number] if number else "ok"


@pytest.mark.parametrize("role", [MAIN, WORKERS, HELPER])
def test_attempts(plain, site, role):
    wrong = []
    with Hand(*process(plain.router, role)) as hand:
        hands = Hands(hand, site)
        for name, (attempt, *errors) in ATTEMPTS.items():
            expected = errors[(MAIN, WORKERS, HELPER).index(role)]
            found = attempt(hands)
            if found not in (expected if isinstance(expected, tuple) else (expected,)):
                wrong.append(f"{name}: {text(found)}")
    assert not wrong
    # The thread goes on where it was.
    with armed(plain.router) as acme:
        serves(plain, acme)
    plain.totals()


def serves(plain, acme):
    """A visitor, and a validation that is taken over."""
    client = plain.client()
    client.send(https_hello())
    exchange(client, plain.served_client(client, https_hello()))
    client = plain.client()
    client.send(acme_hello())
    server = acme.accept()
    assert server.read(len(acme_hello())) == acme_hello()
    exchange(client, server)


def shared_memory(pid):
    """Of BPF maps: (address, length, rights)."""
    with open(f"/proc/{pid}/maps") as file:
        for line in file:
            where, rights, *_ = line.split()
            if "anon_inode:bpf" in line:
                first, last = (int(part, 16) for part in where.split("-"))
                yield first, last - first, rights


def test_maps_of_workers(plain):
    """They have the maps of sessions and of their own connections, and no way to others, by a descriptor or in memory."""
    pid, tid = process(plain.router, WORKERS)
    assert {name for name, *_ in maps_of(pid).values()} <= WORKERS_MAPS
    with Hand(pid, tid) as hand:
        memory = list(shared_memory(pid))
        # What they write is where they are in the ring of takeovers.
        assert [length for _, length, rights in memory if "w" in rights] == [resource.getpagesize()]
        read = [(first, length) for first, length, rights in memory if "w" not in rights]
        assert len(read) > 3  # the ring, and the variables of the programs
        assert {hand.call("mprotect", first, length, 3) for first, length in read} == {-EACCES}


ENDPOINT = "16sHH"


def endpoint(address):
    return struct.pack(ENDPOINT, bytes(10) + b"\xff\xff" + socket.inet_aton(address[0]), address[1], 0)


def request(kind, client, server, first=0, value=0):
    return struct.pack("=IIIIQ", kind, 77, value, 0, 2**64 - 1) + endpoint(client) + endpoint(server) + struct.pack("=II", first, 0)


def helper_sockets(hand, pid):
    """The descriptors whose messages may reach the helper."""
    return [fd for fd in sorted(int(name) for name in os.listdir(f"/proc/{pid}/fd"))
            if option(hand, fd, socket.SO_TYPE) == socket.SOCK_SEQPACKET]


def test_forged_requests(plain, site):
    """The helper acts on no connection that the watch has not entered, and does nothing for the workers that is main's."""
    router, pid = plain.router, process(plain.router, WORKERS)
    with armed(router) as acme:
        visitor = plain.client()
        visitor.send(https_hello())
        served = plain.served_client(visitor, https_hello())
        other = socket.create_connection((LOOPBACK, site.other.port))
        other.sendall(b"there")
        theirs = site.other.accept()
        with Hand(*pid) as hand:
            sockets = helper_sockets(hand, pid[0])
            assert sockets
            for fd in sockets:
                for kind in range(16):
                    for client, server in ((visitor.local, (plain.veth.server4, 443)),
                                           (other.getsockname(), (LOOPBACK, site.other.port))):
                        for message in (request(kind, client, server, value=22), request(kind, client, server) + https_hello(),
                                        request(kind, client, server)[:20]):
                            assert hand.call("sendto", fd, message, len(message), socket.MSG_DONTWAIT, 0, 0) in (
                                len(message), -errno.EAGAIN)
                    while hand.call("recvfrom", fd, bytes(256), 256, socket.MSG_DONTWAIT, 0, 0) > 0:
                        pass
        exchange(visitor, served)
        other.sendall(b", still")
        assert theirs.read(12) == b"there, still"
        other.close()
        assert helper_of(router.pid) == site.helper
        serves(plain, acme)
    plain.totals()


def option(hand, fd, name):
    """An option of SOL_SOCKET; None: it is no socket."""
    if hand.call("getsockopt", fd, socket.SOL_SOCKET, name, bytes(4), struct.pack("i", 4)):
        return None
    return struct.unpack("i", hand.argument(4))[0]


def test_what_the_helper_can_do(plain, site):
    """It has CAP_NET_ADMIN, and netlink sockets from before: it can change what that allows. docs/SECURITY.md says so."""
    with Hand(site.helper) as hand:
        sockets = [fd for fd in (int(name) for name in os.listdir(f"/proc/{site.helper}/fd"))
                   if option(hand, fd, socket.SO_DOMAIN) == socket.AF_NETLINK
                   and option(hand, fd, socket.SO_PROTOCOL) == socket.NETLINK_ROUTE]
        assert sockets
        assert {Hands(hand, site).ask(fd, LINK) for fd in sockets} == {OK}
    plain.totals()
