# SPDX-License-Identifier: BSD-2-Clause
"""
The ClientHello table: what a client may say first, and the route it has to take. Cases with a `message` (a handshake
message) are also sent in other cuts of TLS records; cases with only `wire` bytes are sent as they are.
"""
from dataclasses import dataclass

from hellos import (ACME, ALERT, APPLICATION_DATA, EXT_ALPN, EXT_ALPS, EXT_ECH, EXT_TICKET, acme_hello, alpn, body,
                    common_extensions, extension, handshake, hello, key_share, message, noise, padding, record, records,
                    sni, u8, u16, https_hello)

BODY_MAX = 16384  # the longest message body that is parsed


@dataclass
class Case:
    name: str
    route: str
    message: bytes = None
    wire: bytes = None

    def whole(self):
        return self.wire if self.wire is not None else record_or_records(self.message)


def record_or_records(handshake_message):
    """As few TLS records as the protocol allows: 16 KiB of payload each."""
    return records(handshake_message, 16384)


def with_extensions(*extensions, **fields):
    return handshake(body(list(extensions), **fields))


def sized(total_body, *names):
    """A message whose body is exactly total_body bytes; ALPN comes last, behind the padding."""
    bare = len(body(common_extensions() + [padding(0), alpn(*names)]))
    return with_extensions(*common_extensions(), padding(total_body - bare), alpn(*names))


GREASE_MESSAGE = with_extensions(
    extension(0x0A0A, b""), *common_extensions(), alpn(b"\x2a\x2a", ACME, b"\x5a\x5a\x5a"), extension(0x1A1A, b"\x00"),
    ciphers=b"\x3a\x3a\x13\x01\x13\x02")

# X25519MLKEM768 makes the hello larger than one Ethernet segment.
POST_QUANTUM = common_extensions()[:-1] + [key_share((0x3A3A, 1), (0x11EC, 1216), (0x001D, 32))]

# Encrypted ClientHello: only the outer hello can be read, so its ALPN decides.
ECH = extension(EXT_ECH, b"\x00\x00\x01\x00\x01\x07" + u16(noise(32, "enc")) + u16(noise(240, "payload")))

TO_ACME = [
    Case("acme only", "acme", message(ACME)),
    Case("acme first of three", "acme", message(ACME, b"h2", b"http/1.1")),
    Case("acme in the middle", "acme", message(b"h2", ACME, b"http/1.1")),
    Case("acme last", "acme", message(b"h2", b"http/1.1", ACME)),
    Case("acme after look-alikes", "acme", message(b"acme-tls/1.1", b"x-acme-tls/1", b"acme-tls/", ACME)),
    Case("acme, ALPN the first extension", "acme", message(ACME, first=True)),
    Case("acme, ALPN the only extension", "acme", with_extensions(alpn(ACME))),
    Case("acme, no session id", "acme", with_extensions(sni(b"a.test"), alpn(ACME), session_id=b"")),
    Case("acme with GREASE", "acme", GREASE_MESSAGE),
    Case("acme, post-quantum key share", "acme", with_extensions(*POST_QUANTUM, alpn(ACME))),
    Case("acme with ECH outer", "acme", with_extensions(*common_extensions(), ECH, alpn(ACME))),
    Case("acme in the first of two ALPN extensions", "acme", with_extensions(alpn(ACME), alpn(b"h2"))),
    Case("acme, one full record", "acme", sized(BODY_MAX - 4, ACME)),
    Case("acme, the longest body", "acme", sized(BODY_MAX, ACME)),
    Case("acme, a list of 200 names", "acme", message(*[b"proto-%d" % n for n in range(199)], ACME)),
    Case("acme, a name of 255 bytes before it", "acme", message(b"n" * 255, ACME)),
]

TO_HTTPS = [
    Case("h2 and http/1.1", "https", message(b"h2", b"http/1.1")),
    Case("http/1.1 only", "https", message(b"http/1.1")),
    Case("no ALPN", "https", message()),
    Case("no extensions", "https", handshake(body(None))),
    Case("empty extension block", "https", with_extensions()),
    Case("post-quantum key share", "https", with_extensions(*POST_QUANTUM, alpn(b"h2", b"http/1.1"))),
    Case("ECH outer", "https", with_extensions(*common_extensions(), ECH, alpn(b"h2"))),
    Case("the longest body", "https", sized(BODY_MAX, b"h2")),
    # Exactly acme-tls/1: no prefix, no suffix, no case folding, no C string.
    *[Case(f"look-alike {name!r}", "https", message(name)) for name in (
        b"x-acme-tls/1", b"acme-tls/1.1", b"acme-tls/10", b"acme-tls/1\x00", b"acme-tls/1\x00x", b"acme-tls/1 ",
        b"ACME-TLS/1", b"Acme-tls/1", b"acme-tls/", b"acme-tls/2", b"cme-tls/1", b"acme-tls", b"acme-tls/1,h2",
        b"\x0aacme-tls/1")],
    Case("the name cut in two entries", "https", message(b"acme-", b"tls/1")),
    Case("the name as SNI", "https", with_extensions(sni(ACME), *common_extensions()[1:], alpn(b"h2"))),
    Case("the name in a session ticket", "https",
         with_extensions(extension(EXT_TICKET, alpn(ACME)), *common_extensions(), alpn(b"h2"))),
    Case("the name in ALPS", "https", with_extensions(extension(EXT_ALPS, u16(u8(ACME))), alpn(b"h2"))),
    Case("the name in the session id", "https", with_extensions(alpn(b"h2"), session_id=alpn(ACME)[:32])),
    Case("acme in the second of two ALPN extensions", "https", with_extensions(alpn(b"h2"), alpn(ACME))),
]

MALFORMED = [
    Case("empty ALPN extension", "https", with_extensions(extension(EXT_ALPN, b""))),
    Case("empty ALPN list", "https", with_extensions(extension(EXT_ALPN, b"\x00\x00"))),
    Case("ALPN list longer than its extension", "https",
         with_extensions(extension(EXT_ALPN, b"\x00\x40" + u8(ACME)))),
    Case("ALPN list shorter than its extension", "https",
         with_extensions(extension(EXT_ALPN, u16(u8(ACME)) + b"\x00\x00"))),
    Case("ALPN entry longer than its list", "https",
         with_extensions(extension(EXT_ALPN, u16(u8(ACME) + b"\x0aacme-")))),
    Case("empty ALPN entry", "https", with_extensions(extension(EXT_ALPN, u16(u8(ACME) + b"\x00")))),
    Case("extension longer than the block", "https",
         handshake(body(None) + u16(alpn(ACME) + b"\x00\x15\x40\x00"))),
    Case("extension block longer than the message", "https",
         handshake(body(None) + b"\x01\x00" + alpn(ACME))),
    Case("bytes after the extension block", "https", handshake(body([alpn(ACME)]) + b"\x00\x00")),
    Case("session id longer than 32", "https", with_extensions(alpn(b"h2"), session_id=noise(33))),
    Case("a message of another type", "https", handshake(body([alpn(ACME)]), kind=2)),
    Case("claims a body of 16 MiB", "https", wire=record(b"\x01\xff\xff\xff" + body([alpn(ACME)]))),
    Case("claims one byte over the limit", "https", wire=record(b"\x01\x00\x40\x01" + body([alpn(ACME)]))),
    Case("record longer than allowed", "https", wire=b"\x16\x03\x01\x40\x01" + noise(100)),
    Case("alert record inside the hello", "https",
         wire=record(message(ACME)[:80]) + record(b"\x02\x28", kind=ALERT) + record(message(ACME)[80:])),
]

NOT_TLS = [
    Case("one letter", "https", wire=b"G"),
    Case("HTTP request", "https", wire=b"GET / HTTP/1.1\r\nHost: www.example.test\r\n\r\n"),
    Case("SSH banner", "https", wire=b"SSH-2.0-OpenSSH_9.2p1\r\n"),
    Case("SSLv2 hello", "https", wire=b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10" + noise(37)),
    Case("zeros", "https", wire=bytes(100)),
    Case("alert record first", "https", wire=record(b"\x02\x28", kind=ALERT) + acme_hello()),
    Case("application data first", "https", wire=record(noise(64), kind=APPLICATION_DATA) + acme_hello()),
    Case("hello in the clear after a newline", "https", wire=b"\r\n" + acme_hello()),
    Case("16 KiB of garbage", "https", wire=b"\x00" + noise(16383)),
]

CASES = TO_ACME + TO_HTTPS + MALFORMED + NOT_TLS

# Sent in every cut: of each class the simplest case, the longest, and those decided at the first byte or within the hello.
IN_EVERY_WAY = [case for case in CASES if case.name in (
    "acme only", "acme, post-quantum key share", "acme, the longest body",
    "h2 and http/1.1", "the longest body",
    "empty ALPN extension", "claims a body of 16 MiB", "alert record inside the hello",
    "one letter", "HTTP request", "16 KiB of garbage")]

__all__ = ["CASES", "Case", "IN_EVERY_WAY", "TO_ACME", "acme_hello", "hello", "https_hello", "record_or_records", "records"]
