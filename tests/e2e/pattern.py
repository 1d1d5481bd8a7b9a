# SPDX-License-Identifier: BSD-2-Clause
"""
A byte stream with known content at any offset, compared at memcmp speed: a lost, repeated, swapped or altered byte is
detected at once. The period is a prime above 1 MiB, so that no power of two lies on it.
"""
import hashlib

PERIOD = 1048583


class Pattern:
    def __init__(self, seed):
        block = hashlib.shake_128(f"pattern {seed}".encode()).digest(PERIOD)
        self._twice = block + block
        self._view = memoryview(self._twice)

    def view(self, offset, length):
        """At most PERIOD bytes from offset on, without a copy."""
        start = offset % PERIOD
        return self._view[start:start + min(length, PERIOD)]

    def bytes(self, offset, length):
        parts = bytearray()
        while len(parts) < length:
            parts += self.view(offset + len(parts), length - len(parts))
        return bytes(parts)

    def mismatch(self, offset, data):
        """None if data is what the stream has at offset, else the offset of the first byte that differs."""
        start = offset % PERIOD
        if len(data) <= PERIOD and data == self._twice[start:start + len(data)]:
            return None
        expected = self.bytes(offset, len(data))
        for at, (got, want) in enumerate(zip(data, expected)):
            if got != want:
                return offset + at
        return None

    def locate(self, data):
        """Where in the period a piece of data really comes from, to tell a loss from a repetition; -1 if nowhere."""
        return self._twice.find(bytes(data[:64]))
