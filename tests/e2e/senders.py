# SPDX-License-Identifier: BSD-2-Clause
"""How a client sends what it has to say first."""
from waiting import pause


def at_once(client, wire):
    client.send(wire)


def byte_by_byte(client, wire):
    client.send_split(wire, 1)


def in_two(client, wire):
    """The pace of a slow client: by the second half, the first was accepted and looked at, whatever came of that."""
    client.send(wire[:len(wire) // 2])
    pause(0.1)
    client.send(wire[len(wire) // 2:])
