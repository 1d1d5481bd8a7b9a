# SPDX-License-Identifier: BSD-2-Clause
"""For tests with a few MiB: one end sends or receives in a thread, while the test drives the other."""
import contextlib
import socket
import threading

from waiting import SCALE

JOIN = 20


@contextlib.contextmanager
def sending(peer, data, then_end=False, then_close=False, may_fail=False):
    """Send data inside the block; its end waits for it. An error of the sender is the test's."""
    errors = []

    def run():
        try:
            peer.sock.sendall(data)
            if then_end:
                peer.sock.shutdown(socket.SHUT_WR)
            if then_close:
                peer.sock.close()
        except OSError as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield
    thread.join(JOIN * SCALE)
    assert not thread.is_alive(), "the sender is still at it"
    if errors and not may_fail:
        raise AssertionError(f"sending {len(data)} bytes: {errors[0]!r}")


class Received:
    data = None


@contextlib.contextmanager
def receiving(peer):
    """Receive to the end of the stream; the result's .data is there after the block."""
    result, errors = Received(), []

    def run():
        try:
            result.data = peer.read_to_end()
        except (OSError, AssertionError) as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield result
    thread.join(JOIN * SCALE)
    assert not thread.is_alive(), "the receiver is still at it"
    if errors:
        raise errors[0]


def exchange(client, server, up, down):
    """Both directions of a session at once, all of both, and its end in order."""
    with sending(server, down), receiving(server) as at_server:
        with sending(client, up, then_end=True):
            assert client.read(len(down)) == down
    assert at_server.data == up
    server.close()
    assert client.read_to_end() == b""
    client.close()
