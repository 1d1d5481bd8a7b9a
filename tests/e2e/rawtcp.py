# SPDX-License-Identifier: BSD-2-Clause
"""
A TCP peer in user space on a tun device, for segments which no well-behaved kernel sends: overlapping, cut anew,
filled in out of order. Only what the tests need: no options, no timers, IPv4; its own data is at the test's command,
what the kernel sends is put in order and acknowledged.
"""
import contextlib
import fcntl
import os
import select
import socket
import struct

from netns import run
from waiting import SCALE, now

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
WINDOW = 65535


def checksum(data):
    if len(data) % 2:
        data += b"\x00"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Tun:
    """The device; `server` is the kernel's address, `client` that of the peers made here."""

    def __init__(self, name="e2e-tun", server="10.77.2.1", client="10.77.2.2"):
        self.name, self.server, self.client = name, server, client
        self.fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(self.fd, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN | IFF_NO_PI))
        run("ip", "addr", "add", f"{server}/24", "dev", name)
        run("ip", "link", "set", name, "up")
        self._next_port = 5000

    def port(self):
        self._next_port += 1
        return self._next_port

    def close(self):
        os.close(self.fd)  # the device goes with it


class RawPeer:
    """One connection. Offsets count the bytes of the stream from 0, in both directions."""

    def __init__(self, tun, wrap_at=220):
        self.tun = tun
        self.iss = 0xFFFFFFFF - wrap_at  # the sequence number of the byte at this offset is 0
        self.local_port = None
        self.remote_port = None
        self.received = bytearray()
        self.remote_next = None  # next sequence number expected from the kernel
        self.acked = 0           # offset up to which the kernel acknowledged
        self.windows = []        # the window field of each segment of the kernel
        self.peer_fin = self.peer_reset = False

    # Wire format.

    def _emit(self, sequence, flags, payload=b"", spoiled=None):
        header = struct.pack("!HHIIBBHHH", self.local_port, self.remote_port, sequence & 0xFFFFFFFF,
                             (self.remote_next or 0) & 0xFFFFFFFF, 5 << 4, flags, WINDOW, 0, 0)
        source, destination = socket.inet_aton(self.tun.client), socket.inet_aton(self.tun.server)
        pseudo = source + destination + struct.pack("!BBH", 0, 6, len(header) + len(payload))
        total = checksum(pseudo + header + payload)
        header = header[:16] + struct.pack("!H", total) + header[18:]
        ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(header) + len(payload), 0, 0x4000, 64, 6, 0, source,
                         destination)
        ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
        if spoiled is not None:  # on the way: the checksum is that of the payload before
            payload = payload[:spoiled] + bytes([payload[spoiled] ^ 0x55]) + payload[spoiled + 1:]
        os.write(self.tun.fd, ip + header + payload)

    def _next_packet(self, deadline):
        """(flags, sequence, acknowledged, payload) of the next segment for this connection."""
        while True:
            left = deadline - now()
            if left <= 0 or not select.select([self.tun.fd], [], [], left)[0]:
                return None
            packet = os.read(self.tun.fd, 65536)
            if packet[0] >> 4 != 4 or packet[9] != 6:
                continue  # router solicitations and the like
            tcp = packet[(packet[0] & 15) * 4:]
            source, destination, sequence, acknowledged, offset, flags, window = struct.unpack("!HHIIBBH", tcp[:16])
            if destination != self.local_port or (self.remote_port and source != self.remote_port):
                continue
            self.remote_port = source
            self.windows.append(window)
            return flags, sequence, acknowledged, tcp[(offset >> 4) * 4:]

    def _take(self, deadline):
        """Handle one segment of the kernel; False at the deadline."""
        segment = self._next_packet(deadline)
        if segment is None:
            return False
        flags, sequence, acknowledged, payload = segment
        if flags & RST:
            self.peer_reset = True
            return True
        if flags & ACK:
            self.acked = max(self.acked, self._distance(acknowledged, self.iss + 1))
        fresh = self._distance(self.remote_next, sequence)  # how much of it is known already
        if 0 <= fresh <= len(payload) and not self.peer_fin:
            self.received += payload[fresh:]
            self.remote_next += len(payload) - fresh
            if flags & FIN:
                self.peer_fin = True
                self.remote_next += 1
        if payload or flags & FIN:
            self._emit(self.iss + 1 + self.sent_end, ACK)
        return True

    @staticmethod
    def _distance(a, b):
        """a - b of sequence numbers, signed."""
        return ((a - b + 0x80000000) & 0xFFFFFFFF) - 0x80000000

    # Opening.

    def connect(self, port, acknowledge=True):
        self.local_port, self.remote_port = self.tun.port(), port
        self.sent_end = 0
        self._emit(self.iss, SYN)
        flags, sequence, acknowledged, _ = self._expect("a SYN-ACK")
        assert flags & (SYN | ACK) == SYN | ACK and acknowledged == (self.iss + 1) & 0xFFFFFFFF
        self.remote_next = sequence + 1
        if acknowledge:
            self._emit(self.iss + 1, ACK)
        return self

    def accept(self, port):
        """Be the server: wait for a SYN to `port` and answer it."""
        self.local_port = port
        self.sent_end = 0
        flags, sequence, _, _ = self._expect("a SYN")
        assert flags & (SYN | ACK) == SYN
        self.remote_next = sequence + 1
        self._emit(self.iss, SYN | ACK)
        return self

    def _expect(self, what):
        segment = self._next_packet(now() + 5 * SCALE)
        assert segment, f"{what} did not come"
        return segment

    # What the tests use.

    def segment(self, stream, start, end, fin=False, spoiled=None):
        """Send stream[start:end] as one segment, whatever was sent before; the byte at `spoiled` changes on the way."""
        assert end - start <= 1460
        self.sent_end = max(self.sent_end, end + (1 if fin else 0))
        self._emit(self.iss + 1 + start, ACK | (PSH if end > start else 0) | (FIN if fin else 0), stream[start:end],
                   None if spoiled is None else spoiled - start)

    def finish(self, end):
        """A bare FIN behind `end` bytes."""
        self.segment(b"", end, end, fin=True)

    def wait(self, condition, what, timeout=5):
        deadline = now() + timeout * SCALE
        while not condition():
            assert self._take(deadline), f"{what}: not within {timeout * SCALE:g} s; acked {self.acked}, " \
                f"received {len(self.received)}, reset {self.peer_reset}"

    def wait_acked(self, offset):
        """The kernel has everything up to offset (a FIN counts one)."""
        self.wait(lambda: self.acked >= offset or self.peer_reset, f"the acknowledgement of {offset}")
        assert not self.peer_reset, "reset by the kernel"

    def wait_received(self, length):
        self.wait(lambda: len(self.received) >= length, f"{length} bytes")
        return bytes(self.received)

    def wait_fin(self):
        self.wait(lambda: self.peer_fin, "the FIN of the kernel")

    def reset(self):
        if self.remote_next is not None and not self.peer_reset:
            with contextlib.suppress(OSError):
                self._emit(self.iss + 1 + self.sent_end, RST | ACK)
