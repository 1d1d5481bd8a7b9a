# SPDX-License-Identifier: BSD-2-Clause
"""
Both ends of a connection, driven by the test itself: no threads, every operation with a deadline. A Listener is a backend
whose accept() gives the test the connection which the program made; a Peer is one end of it, or a client.
"""
import errno
import itertools
import select
import os
import socket
import struct
import subprocess

from waiting import SCALE, now

IO_TIMEOUT = 10.0
RESET = (ConnectionResetError, BrokenPipeError, ConnectionAbortedError)

# Below the ephemeral range, so that no outgoing connection has one; and each once, so that none of a test before does.
_ports = itertools.count(11000)


def free_port():
    return next(_ports)


class Peer:
    """A connected TCP (or unix) socket."""

    def __init__(self, sock):
        self.sock = sock
        self.sock.settimeout(IO_TIMEOUT * SCALE)
        self.local = sock.getsockname() if sock.family != socket.AF_UNIX else None
        self.log_line = 0  # of a client: where the program's log was when it connected

    def send(self, data):
        self.sock.sendall(data)
        return self

    def send_split(self, data, size):
        """Small segments: without Nagle every send leaves at once."""
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(data), size):
            self.sock.sendall(data[at:at + size])
        return self

    def read(self, length):
        """Exactly length bytes; an early end shows what came."""
        data = bytearray()
        while len(data) < length:
            try:
                part = self.sock.recv(min(length - len(data), 1 << 20))
            except (socket.timeout, TimeoutError):
                raise AssertionError(f"{len(data)} of {length} bytes came in {IO_TIMEOUT * SCALE:g} s") from None
            assert part, f"end after {len(data)} of {length} bytes"
            data += part
        return bytes(data)

    def read_to_end(self, limit=1 << 30):
        """Everything up to the orderly end; a reset raises ConnectionResetError."""
        parts, total = [], 0
        while True:
            try:
                part = self.sock.recv(1 << 20)
            except (socket.timeout, TimeoutError):
                raise AssertionError(f"no end after {total} bytes and {IO_TIMEOUT * SCALE:g} s") from None
            if not part:
                return b"".join(parts)
            parts.append(part)
            total += len(part)
            assert total <= limit, f"more than {limit} bytes"

    def readable(self, timeout=0.0):
        return bool(select.select([self.sock], [], [], timeout)[0])

    def outcome(self, timeout=IO_TIMEOUT):
        """How the connection ended: 'end' or 'reset'. Ignores the bytes before."""
        self.sock.settimeout(timeout * SCALE)
        try:
            while self.sock.recv(1 << 20):
                pass
            return "end"
        except RESET:
            return "reset"
        except (socket.timeout, TimeoutError):
            raise AssertionError(f"still open after {timeout * SCALE:g} s") from None

    def finish_sending(self):
        self.sock.shutdown(socket.SHUT_WR)
        return self

    def close(self):
        self.sock.close()

    def reset(self):
        """close() with a RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class Listener:
    """A backend. Nothing is accepted until the test asks for it."""

    def __init__(self, host="127.0.0.1", port=None, path=None, receive_buffer=None, send_buffer=None, backlog=1024,
                 shared=False, device=None):
        self.path = path
        if path:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.bind(path)
            os.chmod(path, 0o666)  # the program is another user
            self.endpoint = f"unix:{path}"
        else:
            self.sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if device:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
            self._buffers(receive_buffer, send_buffer)
            self.host, self.port = host, free_port() if port is None else port
            self._bind(host, self.port)
            self.endpoint = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        self.sock.listen(backlog)
        self.accepted = []

    def _buffers(self, receive_buffer, send_buffer):
        # Accepted sockets inherit them; set before listen() so that the window scale fits.
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if send_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)

    def _bind(self, host, port):
        try:
            self.sock.bind((host, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise AssertionError(f"port {port} is taken:\n{self.known_to_kernel()}") from None

    def pending(self, timeout=0.0):
        return bool(select.select([self.sock], [], [], timeout)[0])

    def _take(self):
        connection = Peer(self.sock.accept()[0])
        self.accepted.append(connection)
        return connection

    def known_to_kernel(self):
        """The sockets of its port, with queues, timers and owners."""
        if self.path:
            return self.path
        return subprocess.run(["ss", "-Htanpoie", f"( sport = :{self.port} or dport = :{self.port} )"],
                              capture_output=True, text=True).stdout

    def accept_any(self, timeout=IO_TIMEOUT):
        assert self.pending(timeout * SCALE), \
            f"no connection came to {self.endpoint} in {timeout * SCALE:g} s; the kernel has:\n{self.known_to_kernel()}"
        return self._take()

    def accept(self, timeout=IO_TIMEOUT):
        """
        The next connection that carries something. The program may connect to its default backend before it knows
        the route and drop that connection unused: one that ends without a byte is not a session.
        """
        deadline = now() + timeout * SCALE
        while True:
            connection = self.accept_any(max(0.01, (deadline - now()) / SCALE))
            if connection.readable(max(0.01, deadline - now())):
                try:
                    if connection.sock.recv(1, socket.MSG_PEEK):
                        return connection
                except RESET:
                    pass
            connection.close()

    def unused(self):
        """No connection to it ever carried a byte."""
        while self.pending():
            connection = self._take()
            try:
                if connection.readable() and connection.sock.recv(1, socket.MSG_PEEK):
                    return False
            except RESET:
                pass
        return True

    def untouched(self):
        """No process has connected since the last accept."""
        return not self.pending()

    def forget(self):
        """Closes the accepted connections."""
        for connection in self.accepted:
            connection.close()
        self.accepted.clear()

    def close(self):
        self.forget()
        self.sock.close()


def connect(address, source=None, receive_buffer=None, send_buffer=None, namespace=None):
    """A client connection; its buffers are set before the handshake, where they matter."""
    def make():
        return socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)

    if namespace:
        with namespace.inside():
            sock = make()
    else:
        sock = make()
    sock.settimeout(IO_TIMEOUT * SCALE)
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    if send_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
    if source:
        sock.bind((source, 0))
    sock.connect(address)
    return Peer(sock)
