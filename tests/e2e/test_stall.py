# SPDX-License-Identifier: BSD-2-Clause
"""
Peers that do not read while the other end writes endlessly. Such a session buffers at most --buffer per flow, wherever the
bytes are; no thread runs for it; and when the reader resumes, it gets every byte.
"""
import os
import re
import select
import subprocess

import pytest

from hellos import https_hello
from measures import backlog_runs, cpu_share, round_trips
from pattern import Pattern
from sockets import connect
from waiting import SCALE, now, pause, wait_until

HELLO = https_hello()
SESSIONS = 200
SMALL = 4096        # the peers' own buffers, so that they hide nothing
SLACK = 96 * 1024   # segments are not divisible at will; loopback's are up to 64 KiB
PATTERN = Pattern("stall")
KIB, MIB = 1 << 10, 1 << 20


def fill(peers, quiet=0.6, deadline=60):
    """Write to all peers until nothing more goes in for `quiet` seconds; returns the bytes each one took."""
    taken = dict.fromkeys(peers, 0)
    by_fd = {peer.sock.fileno(): peer for peer in peers}
    poll = select.epoll()
    for peer in peers:
        peer.sock.setblocking(False)
        poll.register(peer.sock, select.EPOLLOUT)
    end, last = now() + deadline * SCALE, now()
    while now() - last < quiet:
        assert now() < end, "the peers take data without end"
        for fd, _ in poll.poll(0.05):
            peer = by_fd[fd]
            try:
                while True:
                    taken[peer] += peer.sock.send(PATTERN.view(taken[peer], 64 * KIB))
                    last = now()
            except BlockingIOError:
                pass
    poll.close()
    for peer in peers:
        peer.sock.settimeout(10 * SCALE)
    return taken


def direct_capacity(lab):
    """What two peers with these buffers hold between them without any program."""
    listener = lab.listener(receive_buffer=SMALL, send_buffer=SMALL)
    client = connect((listener.host, listener.port), receive_buffer=SMALL, send_buffer=SMALL)
    client.send(b"x")
    server = listener.accept()
    taken = max(fill([server])[server], fill([client])[client])
    client.close()
    return taken


def tcp_memory():
    """Bytes all TCP sockets of the machine hold, as the kernel charges them."""
    with open("/proc/net/sockstat") as file:
        pages = int(re.search(r"^TCP:.* mem (\d+)", file.read(), re.MULTILINE).group(1))
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def backlog():
    with backlog_runs() as runs:
        yield runs


def assert_idle(router, backlog, sessions):
    """
    Neither the program nor a kernel worker runs for stalled sessions. A blocked backlog that is tried again runs once a
    tick, for each of them.
    """
    assert cpu_share(router) < 0.05

    def at_rest():  # of the whole machine: for a moment, others may have some to send
        before = backlog.count()
        pause(0.5)
        return backlog.count() - before < 10 * sessions

    wait_until(at_rest, 5, "half a second in which no backlog is tried again")


@pytest.mark.alone
@pytest.mark.long
@pytest.mark.parametrize("direction", ["down", "up"])
@pytest.mark.parametrize("buffer,size", [("1M", MIB), ("128K", 128 * KIB)])
def test_stalled_readers(lab, backlog, plane, direction, buffer, size):
    between_peers = direct_capacity(lab)
    memory_before = tcp_memory()
    acme, https = lab.backends(receive_buffer=SMALL, send_buffer=SMALL)
    router = lab.router(acme, https, "--buffer", buffer, plane=plane)
    rss_before = router.rss_bytes()
    sessions = [lab.session(router, HELLO, https, receive_buffer=SMALL, send_buffer=SMALL) for _ in range(SESSIONS)]
    ends = {server: client for client, server in sessions}
    if direction == "up":
        ends = {client: server for client, server in sessions}
    taken = fill(list(ends))

    # The payload a flow holds between its two ends, wherever it is.
    held = max(taken.values()) - between_peers
    assert held <= size + SLACK, f"a flow holds {held} bytes with --buffer {buffer}"
    assert min(taken.values()) > size // 8, "stalled before the buffer was used: the test measures nothing"
    # The kernel charges its overhead as well: at most as much again.
    grown = tcp_memory() - memory_before
    assert grown <= SESSIONS * 2 * (size + SLACK), f"{grown / MIB:.0f} MiB of TCP memory"
    # User space holds no payload for them, or no more than --buffer allows.
    assert router.rss_bytes() - rss_before < 32 * MIB + SESSIONS * 4096
    assert_idle(router, backlog, SESSIONS)

    # The readers come back: some read everything, to the byte, and both ends go on.
    for writer, reader in list(ends.items())[::40]:
        data = reader.read(taken[writer])
        assert PATTERN.mismatch(0, data) is None
        writer.send(b"and on")
        assert reader.read(6) == b"and on"
    # The others are reset, with all that is in them; nothing stays behind (checked when the lab closes).
    for writer, reader in ends.items():
        reader.reset()
        writer.reset()


@pytest.mark.alone
def test_one_stalled_session_does_not_slow_another(lab, plane):
    """With one worker and one full session, another session is as fast as before."""
    acme, https = lab.backends()
    router = lab.router(acme, https, "--workers", "1", plane=plane)
    talk = lab.session(router, HELLO, https)
    before = round_trips(*talk)
    _, stuck = lab.session(router, HELLO, https, receive_buffer=SMALL)
    fill([stuck])
    assert round_trips(*talk) < 5 * before + 0.005


@pytest.mark.alone
@pytest.mark.parametrize("direction", ["down", "up"])
def test_the_other_direction_flows_while_one_is_stalled(lab, backlog, plane, direction):
    """Passed bytes may be queued behind a stuck egress queue of the same socket; they must still arrive."""
    acme, https = lab.backends()
    router = lab.router(acme, https, plane=plane)
    sessions = [lab.session(router, HELLO, https) for _ in range(8)]
    if direction == "down":
        sessions = [(server, client) for client, server in sessions]
    fill([writer for writer, _ in sessions])
    other = Pattern("other").bytes(0, 100_000)
    for writer, reader in sessions:
        for at in range(0, len(other), 10_000):
            reader.send(other[at:at + 10_000])
            assert writer.read(10_000) == other[at:at + 10_000]
    assert_idle(router, backlog, len(sessions))


def test_reset_of_a_stalled_session_reaches_the_writer(lab, plane):
    acme, https = lab.backends()
    router = lab.router(acme, https, plane=plane)
    client, server = lab.session(router, HELLO, https, receive_buffer=SMALL)
    fill([server])
    client.reset()
    assert server.outcome() == "reset"
    assert router.closed(client).cause == "client_reset"


def test_stalled_session_ends_by_idle_timeout(lab, plane):
    """A peer that never reads counts as idle eventually."""
    acme, https = lab.backends()
    router = lab.router(acme, https, "--idle-timeout", "2s", plane=plane)
    client, server = lab.session(router, HELLO, https, receive_buffer=SMALL)
    fill([server])
    assert server.outcome(10) in ("end", "reset")
    assert router.closed(client).cause == "idle_timeout"


def charges(port):
    """(received, reserved, queued) bytes which the kernel charges to each socket of the connections to a port."""
    lines = subprocess.run(["ss", "-tmnH", f"sport = {port} or dport = {port}"], capture_output=True, text=True,
                           check=True).stdout
    return [tuple(map(int, found)) for found in
            re.findall(r"skmem:\(r(\d+),rb\d+,t\d+,tb\d+,f(-?\d+),w(\d+)", lines)]


def test_the_kernel_accounts_for_every_byte(lab):
    """
    The memory charged for a segment is released completely, on every path. A socket's reserve is allocated and freed in
    pages, so once the queues are empty, the rest of it is whole pages.
    """
    acme, https = lab.backends(receive_buffer=SMALL)
    router = lab.router(acme, https, "--buffer", "128K", plane="sockmap")
    sessions = [lab.session(router, HELLO, https, receive_buffer=SMALL) for _ in range(16)]
    for _ in range(3):
        taken = fill([peer for session in sessions for peer in session])
        for client, server in sessions:
            assert server.read(taken[client]) == PATTERN.bytes(0, taken[client])
            assert client.read(taken[server]) == PATTERN.bytes(0, taken[server])
    for port in (router.address()[1], https.port):
        wait_until(lambda: not any(received or queued for received, _, queued in charges(port)), 5, "empty queues")
        reserved = [bytes_ for _, bytes_, _ in charges(port)]
        assert len(reserved) == 2 * len(sessions)
        assert all(bytes_ % os.sysconf("SC_PAGE_SIZE") == 0 for bytes_ in reserved)


@pytest.mark.parametrize("plane", ["user", "auto", "sockmap"])
@pytest.mark.parametrize("piece", [700, 9000, 30_000])
def test_small_pieces_into_a_full_buffer(lab, plane, piece):
    """Each piece is read and sent separately; one without room is kept, and neither lost nor overtaken."""
    acme, https = lab.backends()
    router = lab.router(acme, https, "--buffer", "64K", plane=plane)
    client, server = lab.session(router, HELLO, https, receive_buffer=SMALL)
    sent = asked = 0
    server.sock.setblocking(False)
    while True:
        try:
            sent += server.sock.send(PATTERN.view(sent, piece))
        except BlockingIOError:
            break
        client.send(b"?")  # its way leads through the same worker, after the piece
        asked += 1
        wait_until(lambda: server.readable(0.05), 5, "the question")
        assert server.sock.recv(1) == b"?"
    assert sent > 100_000
    server.sock.settimeout(10 * SCALE)
    server.finish_sending()
    assert client.read_to_end() == PATTERN.bytes(0, sent)
    client.close()
    server.close()
    closed = router.closed(client)
    assert closed.cause == "done" and (closed.up, closed.down) == (len(HELLO) + asked, sent)
