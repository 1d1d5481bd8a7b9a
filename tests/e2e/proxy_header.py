# SPDX-License-Identifier: BSD-2-Clause
"""A reader of PROXY protocol headers, written from its specification and independent of the program's writer."""
import ipaddress
import struct

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
TLV_ALPN, TLV_AUTHORITY = 0x01, 0x02


class ProxyHeader:
    """source and destination are (address, port) or None; tlvs is a list of (type, value)."""

    def __init__(self, family, source, destination, tlvs=()):
        self.family, self.source, self.destination, self.tlvs = family, source, destination, list(tlvs)


def read_v1(peer):
    """Byte by byte to the end of the line, at most 107 bytes; the stream after it is untouched."""
    line = b""
    while not line.endswith(b"\r\n"):
        assert len(line) < 107, line
        line += peer.read(1)
    words = line[:-2].decode("ascii").split(" ")
    assert words[0] == "PROXY", line
    if words[1] == "UNKNOWN":
        return ProxyHeader("UNKNOWN", None, None)
    assert len(words) == 6 and words[1] in ("TCP4", "TCP6"), line
    version = 4 if words[1] == "TCP4" else 6
    for address in words[2:4]:
        assert ipaddress.ip_address(address).version == version, line
    for port in words[4:6]:
        assert str(int(port)) == port and 0 <= int(port) < 65536, line
    return ProxyHeader(words[1], (words[2], int(words[4])), (words[3], int(words[5])))


def read_v2(peer):
    fixed = peer.read(16)
    assert fixed[:12] == SIGNATURE, fixed
    version_command, family_transport, length = struct.unpack("!BBH", fixed[12:])
    assert version_command >> 4 == 2
    rest = peer.read(length)
    if version_command & 15 == 0:
        return ProxyHeader("LOCAL", None, None)
    assert version_command & 15 == 1
    sizes = {0x11: ("TCP4", 4), 0x21: ("TCP6", 16)}
    if family_transport not in sizes:
        return ProxyHeader("UNSPEC", None, None)
    family, size = sizes[family_transport]
    source, destination = (str(ipaddress.ip_address(rest[at:at + size])) for at in (0, size))
    ports = struct.unpack("!HH", rest[2 * size:2 * size + 4])
    tlvs, at = [], 2 * size + 4
    while at < length:
        kind, value_length = struct.unpack("!BH", rest[at:at + 3])
        assert at + 3 + value_length <= length, "a TLV longer than the header"
        tlvs.append((kind, rest[at + 3:at + 3 + value_length]))
        at += 3 + value_length
    return ProxyHeader(family, (source, ports[0]), (destination, ports[1]), tlvs)


READERS = {"v1": read_v1, "v2": read_v2}
