# SPDX-License-Identifier: BSD-2-Clause
"""
The life of a session after its route is known: half-closes, resets, slow clients, urgent data, the idle timeout. All on both
data planes.
"""
import fcntl
import socket
import sys
import termios

import pytest

from hellos import acme_hello, https_hello, noise
from in_place import switches
from measures import round_trips
from pattern import Pattern
from stream_thread import receiving, sending
from waiting import now, pause, wait_until

HELLO = https_hello()
MIB = 1 << 20
SIZE = 5 * MIB + 123
UP, DOWN = Pattern("up").bytes(0, SIZE), Pattern("down").bytes(0, SIZE)


@pytest.fixture
def ground(lab, plane):
    """(router, https backend, acme backend) with the default options."""
    acme, https = lab.backends()
    return lab.router(acme, https, plane=plane), https, acme


def done(router, client, up, down, route="https"):
    """The session of this client ended in order and the log counted every byte."""
    closed = router.closed(client)
    assert (closed.route, closed.cause) == (route, "done")
    assert (closed.up, closed.down) == (up, down)
    return closed


# Half-close.

@pytest.mark.parametrize("first", ["client", "backend"])
def test_one_ends_first_and_keeps_receiving(lab, ground, first):
    """Like `nc -N`, or HTTP/1.0 over TLS 1.3: the answer comes after the client's FIN."""
    router, https, _ = ground
    client, server = lab.session(router, HELLO, https)
    by_client = first == "client"
    asks, answers = (client, server) if by_client else (server, client)
    question, answer = (UP, DOWN) if by_client else (DOWN, UP)
    asks.send(question[:70_000]).finish_sending()
    assert answers.read_to_end() == question[:70_000]
    with sending(answers, answer):
        assert asks.read(SIZE) == answer
    answers.close()
    assert asks.read_to_end() == b""
    asks.close()
    up, down = (70_000, SIZE) if by_client else (SIZE, 70_000)
    done(router, client, len(HELLO) + up, down)


@pytest.mark.parametrize("rounds", [1, 40])
def test_half_close_with_traffic_in_flight(lab, ground, rounds):
    """The FIN comes while many bytes are in flight in the other direction; no byte of either direction is lost."""
    router, https, _ = ground
    size = SIZE if rounds == 1 else 100_000
    for _ in range(rounds):
        client, server = lab.session(router, HELLO, https)
        with sending(server, DOWN[:size], then_end=True), receiving(server) as at_server:
            client.send(UP[:30_000]).finish_sending()
            assert client.read_to_end() == DOWN[:size]
        assert at_server.data == UP[:30_000]
        client.close()
        server.close()
        done(router, client, len(HELLO) + 30_000, size)


def test_both_ends_at_once(lab, ground):
    router, https, _ = ground
    for _ in range(30):
        client, server = lab.session(router, HELLO, https)
        client.send(UP[:5000]).finish_sending()
        server.send(DOWN[:5000]).finish_sending()
        assert client.read_to_end() == DOWN[:5000] and server.read_to_end() == UP[:5000]
        client.close()
        server.close()
        done(router, client, len(HELLO) + 5000, 5000)


def test_answer_and_close_in_one_go(lab, ground):
    """A backend that answers and closes at once: data and FIN are one batch."""
    router, https, _ = ground
    for size in (1, 100, 20_000, 60_000):
        client, server = lab.session(router, HELLO, https)
        server.send(DOWN[:size]).close()
        assert client.read_to_end() == DOWN[:size]
        client.close()
        done(router, client, len(HELLO), size)


def test_fin_behind_a_stalled_reader(lab, ground):
    """Everything is sent and the FIN as well before the reader takes its first byte."""
    router, https, _ = ground
    client, server = lab.session(router, HELLO, https)
    with sending(server, DOWN, then_end=True):
        pause(0.3)
        assert client.read_to_end() == DOWN
    client.close()
    assert server.read_to_end() == b""
    server.close()
    done(router, client, len(HELLO), SIZE)


# Resets.

@pytest.mark.parametrize("after", [0, 200_000])
def test_reset_by_the_client(lab, ground, after):
    router, https, _ = ground
    client, server = lab.session(router, HELLO, https)
    client.send(UP[:after])
    assert server.read(after) == UP[:after]
    client.reset()
    assert server.outcome() == "reset"
    assert router.closed(client).cause == "client_reset"


@pytest.mark.parametrize("after", [0, 200_000])
def test_reset_by_the_backend(lab, ground, after):
    router, https, _ = ground
    client, server = lab.session(router, HELLO, https)
    server.send(DOWN[:after])
    assert client.read(after) == DOWN[:after]
    server.reset()
    assert client.outcome() == "reset"
    assert router.closed(client).cause == "backend_reset"


def test_reset_by_the_client_after_its_fin(lab, ground):
    """The client half-closes, then resets: the backend learns that its answer cannot be delivered."""
    router, https, _ = ground
    client, server = lab.session(router, HELLO, https)
    client.finish_sending()
    assert server.read_to_end() == b""
    client.reset()
    assert server_learns(server)
    assert router.closed(client).cause == "client_reset"


def server_learns(server):
    """A sender learns of a reset by an error, at its next send at the latest."""
    def fails():
        try:
            server.send(b"x" * 1000)
        except OSError:
            return True
        return False

    return wait_until(fails, 5, "an error at the sender", poll=0.02)


@pytest.mark.parametrize("who", ["client", "backend"])
def test_reset_in_the_middle_of_a_stream(lab, ground, who):
    router, https, _ = ground
    client, server = lab.session(router, HELLO, https)
    sender, receiver = (client, server) if who == "client" else (server, client)
    data = UP if who == "client" else DOWN
    with sending(sender, data * 8, may_fail=True):
        got = receiver.read(2 * MIB)
        assert got == data[:2 * MIB]
        receiver.reset()
    closed = router.closed(client)
    assert closed.cause == ("backend_reset" if who == "client" else "client_reset")


def test_close_with_unread_data(lab, ground):
    """The kernel turns that close into a reset; it is passed on as one."""
    router, https, _ = ground
    client, server = lab.session(router, HELLO, https)
    client.send(UP[:1000])
    wait_until(server.readable, 5, "the bytes at the backend")
    server.close()
    assert client.outcome() == "reset"
    assert router.closed(client).cause == "backend_reset"


ANSWER = 60_000


def answered(lab, router, backend):
    """A session whose backend has answered, all of it taken by the program, to a client that has read nothing of it."""
    client, server = lab.session(router, HELLO, backend, receive_buffer=4096)
    client.send(UP[:1000])
    wait_until(server.readable, 5, "the bytes at the backend")
    server.send(DOWN[:ANSWER])
    wait_until(lambda: unsent(server) == 0, 5, "the answer taken by the program")
    return client, server


def unsent(peer):
    """Bytes of its send queue which the other TCP has not acknowledged."""
    return int.from_bytes(fcntl.ioctl(peer.sock, termios.TIOCOUTQ, b"\0" * 4), sys.byteorder)


def test_answer_and_close_with_unread_data(lab, ground):
    """An upload that is refused: the answer is there in full before the reset that follows it."""
    router, https, _ = ground
    client, server = answered(lab, router, https)
    server.close()
    assert client.read(ANSWER) == DOWN[:ANSWER]
    assert client.outcome() == "reset"
    assert router.closed(client).cause == "backend_reset"


def test_last_bytes_before_the_reset_of_a_client(lab, plane):
    """The other direction: bytes that the client sent before its reset reach a backend that reads slowly."""
    acme, https = lab.backends(receive_buffer=4096)
    router = lab.router(acme, https, plane=plane)
    client, server = lab.session(router, HELLO, https)
    client.send(UP[:ANSWER])
    wait_until(lambda: unsent(client) == 0, 5, "the bytes taken by the program")
    client.reset()
    assert server.read(ANSWER) == UP[:ANSWER]
    assert server.outcome() == "reset"
    assert router.closed(client).cause == "client_reset"


@pytest.mark.long
def test_last_bytes_that_nobody_takes(lab, ground):
    """If one side is gone and the other stalls, the session ends after some seconds."""
    router, https, _ = ground
    client, server = answered(lab, router, https)
    server.close()
    assert router.closed(client, timeout=8).cause == "backend_reset"
    assert client.outcome() == "reset"


def test_both_sides_reset(lab, ground):
    router, https, _ = ground
    client, server = answered(lab, router, https)
    server.close()
    client.reset()
    assert router.closed(client, timeout=3).cause in ("backend_reset", "client_reset")


# Clients of every pace.

def test_client_that_sends_a_byte_every_few_milliseconds(lab, ground):
    """The hello included."""
    router, https, _ = ground
    client = lab.connect(router)
    client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    data = HELLO[:40] + noise(40)
    slow = acme_hello()[:80]
    for byte in slow:
        client.send(bytes([byte]))
        pause(0.003)
    client.finish_sending()
    server = https.accept()
    assert server.read_to_end() == slow
    for byte in data:
        server.send(bytes([byte]))
        pause(0.003)
    server.close()
    assert client.read_to_end() == data
    client.close()
    done(router, client, len(slow), len(data))


def test_ping_pong(lab, ground):
    """Many small exchanges, as in an interactive protocol: no 40 ms delays by Nagle's algorithm."""
    router, https, _ = ground
    client, server = lab.session(router, HELLO, https)
    for peer in (client, server):
        peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    assert round_trips(client, server, 1000) < 0.03
    client.close()
    server.close()
    done(router, client, len(HELLO) + 11_000, 11_000)


def test_redirected_bytes_wake_nobody(lab):
    """In the kernel from the first byte: a message from either side does not wake a worker (docs/KERNEL.md 6)."""
    acme, https = lab.backends()
    router = lab.router(acme, https, plane="sockmap")
    client, server = lab.session(router, https_hello(), https)
    before = switches(router)
    for _ in range(500):
        client.send(b"ping")
        assert server.read(4) == b"ping"
        server.send(b"pong")
        assert client.read(4) == b"pong"
    woken = switches(router) - before
    client.close()
    server.close()
    closed = router.closed(client)
    assert closed.up_user + closed.down_user < 1000 and woken < 100


def test_urgent_data_is_forwarded_in_line(lab, ground):
    """TCP's urgent byte keeps its place in the stream on both planes, and delays no byte after it."""
    router, https, _ = ground
    client, server = lab.session(router, HELLO, https)
    server.sock.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
    client.send(b"before ")
    client.sock.send(b"!", socket.MSG_OOB)
    client.send(b" behind")
    assert server.read(15) == b"before ! behind"
    server.sock.send(b"?", socket.MSG_OOB)
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
    server.send(b" back")
    assert client.read(6) == b"? back"
    client.finish_sending()
    server.close()
    done(router, client, len(HELLO) + 15, 6)


# Time.

def test_idle_timeout(lab, plane):
    """A session without a byte either way ends; one with traffic in either direction does not."""
    acme, https = lab.backends()
    router = lab.router(acme, https, "--idle-timeout", "2s", plane=plane)
    idle_client, idle_server = lab.session(router, HELLO, https)
    up_client, up_server = lab.session(router, HELLO, https)
    down_client, down_server = lab.session(router, HELLO, https)
    started = now()

    def goes_on():
        up_client.send(b"u")
        down_server.send(b"d")
        assert up_server.read(1) == b"u" and down_client.read(1) == b"d"
        return idle_client.readable()

    wait_until(goes_on, 10, "the end of the idle session", poll=0.2)
    assert now() - started > 1.8
    assert idle_client.outcome() in ("end", "reset") and idle_server.outcome() in ("end", "reset")
    assert router.closed(idle_client).cause == "idle_timeout"
    assert len(router.sessions()) == 1
