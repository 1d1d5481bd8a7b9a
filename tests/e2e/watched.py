# SPDX-License-Identifier: BSD-2-Clause
"""The set-up for tests of the watch: a web server on :443 that the test plays itself, and a validation."""
import json
import socket
import subprocess

from control import status
from hellos import acme_hello, noise
from in_place import ACME
from netns import run
from sockets import RESET, connect
from stream_thread import sending
from waiting import wait_until

H = len(acme_hello())
BULK = 4 << 20


def exchange(client, server, count=50000):
    """Bytes both ways, then the ends."""
    for source, target in ((server, client), (client, server)):
        with sending(source, noise(count)):
            assert target.read(count) == noise(count)
    client.finish_sending()
    assert server.read_to_end() == b""
    server.close()
    assert client.read_to_end() == b""
    client.close()


def validate(client, acme, hello, split=None, count=50000):
    """A validation from hello to end."""
    client.send_split(hello, split) if split else client.send(hello)
    server = acme.accept()
    assert server.read(len(hello)) == hello
    exchange(client, server, count)


def answered(acme, count):
    """The responder's connections, each answered before the next one is accepted: it is known to serve many at once."""
    servers = []
    for _ in range(count):
        servers.append(acme.accept())
        assert servers[-1].read(H) == acme_hello()
        servers[-1].send(b"answer")
    return servers


def answer(raw, server, count=20000):
    server.send(noise(count, "answer"))
    assert raw.wait_received(count) == noise(count, "answer")


def end(raw, server, sent):
    """Ends both sides in order, the client's first."""
    raw.finish(sent)
    assert server.read_to_end() == b""
    server.close()
    raw.wait_fin()


def entries(router, name):
    """The entries of a BPF map of this program."""
    ids = subprocess.run(f"grep -h map_id /proc/{router.pid}/fdinfo/*", shell=True, capture_output=True, text=True)
    for number in {line.split()[1] for line in ids.stdout.splitlines()}:
        if json.loads(run("bpftool", "-j", "map", "show", "id", number))["name"] == name:
            return len(json.loads(run("bpftool", "-j", "map", "dump", "id", number)))
    raise LookupError(f"no map {name}")


class Plain:
    """A web server that the test plays itself, on :443."""

    def __init__(self, lab, veth, *options, deferred=False, **keywords):
        self.veth, self.clients = veth, lab.peers
        self.web = lab.listener(host="0.0.0.0", port=443)
        if deferred:
            self.web.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 5)
        self.router = lab.router(ACME, 443, "--inspect", "watch", *options, listen=[("0.0.0.0", 443)], bypass=True,
                                 **keywords)

    def client(self):
        self.clients.append(connect((self.veth.server4, 443), namespace=self.veth.namespace))
        return self.clients[-1]

    def served(self, hello):
        """The connection with this hello; a connection that was taken over, maybe after a part of the hello, ends in a reset."""
        while True:
            connection = self.web.accept_any()
            try:
                assert connection.read(len(hello)) == hello
                return connection
            except RESET:
                connection.close()

    def served_client(self, client, hello):
        """The same, of this client: others may have come and gone before it."""
        while True:
            connection = self.web.accept_any()
            try:
                if connection.sock.getpeername() == client.local:
                    assert connection.read(len(hello)) == hello
                    return connection
            except OSError:
                pass
            connection.close()

    def _nothing_on_its_way(self):
        try:
            return entries(self.router, "alpnbpf_taken") == 0
        except (LookupError, RuntimeError):  # it ends, and its maps with it
            return not self.router.running()

    def totals(self):
        """Ends the program; returns its totals."""
        wait_until(self._nothing_on_its_way, 5, "nothing on its way to us")
        self.router.finish()
        return self.router.totals()

    # Of an instance that several tests share.

    def _counters(self):
        now = status(self.router)
        return {"sessions": now["sessions"]["total"], **now["events"]}

    def begin(self):
        self.before = self._counters()

    def increase(self):
        """The counters' increase in this test."""
        return {name: value - self.before[name] for name, value in self._counters().items()}

    def counted(self):
        """The same, once it is final."""
        wait_until(self._nothing_on_its_way, 5, "nothing on its way to us")
        return self.increase()

    def _at_rest(self):
        while self.web.pending():  # those that were taken over
            self.web.accept_any()
        self.web.forget()
        now = status(self.router)
        return now["sessions"]["now"] == 0 and not now["armed"]["now"] and self._nothing_on_its_way()

    def end(self):
        """Checks that this test leaves nothing for the next one."""
        for client in self.clients:
            client.close()
        self.clients.clear()
        wait_until(self._at_rest, 10, "the end of what a test has left")
