# SPDX-License-Identifier: BSD-2-Clause
"""HTTPS requests, one connection each, as fast as they go, from another network namespace or from here."""
import socket
import ssl
import threading

from sockets import connect
from waiting import SCALE, wait_until

NAME = "www.example.test"


def client_context(authority_file, *protocols):
    context = ssl.create_default_context(cafile=authority_file)
    context.set_alpn_protocols(list(protocols) or ["http/1.1"])
    return context


def ask(address, context, path="/client", namespace=None):
    """(local address, body) of one request."""
    peer = connect(address, namespace=namespace)
    with context.wrap_socket(peer.sock, server_hostname=NAME) as tls:
        tls.sendall(f"GET {path} HTTP/1.0\r\nHost: {NAME}\r\n\r\n".encode())
        answer = b""
        while part := tls.recv(65536):
            answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), answer
    return peer.local, body.decode().strip()


class Visitor(threading.Thread):
    """Asks the server for the client's address until stopped; any address but its own is a failure."""

    def __init__(self, address, authority_file, namespace=None, path="/client"):
        super().__init__(daemon=True)
        self.address, self.namespace, self.path = address, namespace, path
        self.context = client_context(authority_file)
        self.served, self.failures = 0, []
        self._stop_asked = threading.Event()

    def visit(self):
        local, body = ask(self.address, self.context, self.path, self.namespace)
        seen = body.removeprefix("::ffff:")
        assert self.path != "/client" or seen == local[0], f"{local[0]} was seen as {seen}"

    def run(self):
        while not self._stop_asked.is_set():
            try:
                self.visit()
                self.served += 1
            except (OSError, AssertionError, socket.timeout) as error:
                self.failures.append(repr(error))

    def wait_more(self, count=3, timeout=10):
        """Until `count` further requests were served."""
        goal = self.served + count
        wait_until(lambda: self.served >= goal or self.failures, timeout, f"{count} more requests")

    def stop(self):
        self._stop_asked.set()

    def finish(self):
        self.stop()
        self.join(15 * SCALE)
        assert not self.is_alive()
        assert not self.failures, f"{len(self.failures)} of {self.served} requests failed: {self.failures[:3]}"
