# SPDX-License-Identifier: BSD-2-Clause
"""
`--dataplane auto`: sessions begin in user space, and a conversation moves into the kernel in its middle. Whichever side
sends around that moment: no byte is lost, doubled or out of order.
"""
import random

import pytest

from hellos import acme_hello, https_hello
from pattern import Pattern
from stream_thread import receiving, sending

HELLO = https_hello()
TURNS = 32  # user/engine/promote.c
UP, DOWN = Pattern("up"), Pattern("down")


class Talk:
    """Both ends of a session, and what each has sent so far."""

    def __init__(self, lab, router, https):
        self.client, self.server = lab.session(router, HELLO, https)
        self.said = [0, 0]

    def say(self, side, count):
        end, pattern = ((self.client, UP), (self.server, DOWN))[side]
        end.send(pattern.bytes(self.said[side], count))
        self.said[side] += count

    def hear(self, side, count):
        """The other side of `side` gets the last `count` bytes."""
        end, pattern = ((self.server, UP), (self.client, DOWN))[side]
        assert end.read(count) == pattern.bytes(self.said[side] - count, count)

    def turn(self, up=100, down=300):
        self.say(0, up)
        self.hear(0, up)
        self.say(1, down)
        self.hear(1, down)

    def end(self, router):
        self.client.finish_sending()
        assert self.server.read_to_end() == b""
        self.server.close()
        assert self.client.read_to_end() == b""
        self.client.close()
        closed = router.closed(self.client)
        assert closed.cause == "done" and (closed.up, closed.down) == (len(HELLO) + self.said[0], self.said[1])
        return closed


@pytest.fixture
def ground(lab):
    acme, https = lab.backends()
    return lab.router(acme, https, plane="auto"), https


def test_a_conversation_moves_into_the_kernel(lab, ground):
    router, https = ground
    talk = Talk(lab, router, https)
    for _ in range(200):
        talk.turn()
    closed = talk.end(router)
    assert closed.up_user <= len(HELLO) + TURNS * 100 and closed.down_user <= TURNS * 300
    assert closed.up_kernel >= 150 * 100 and closed.down_kernel >= 150 * 300


def test_short_sessions_and_large_ones_stay_in_user_space(lab, ground):
    router, https = ground
    talk = Talk(lab, router, https)
    for _ in range(10):
        talk.turn()
    assert talk.end(router).up_kernel == 0
    talk = Talk(lab, router, https)
    for _ in range(3):
        talk.turn(100, 1_000_000)
    assert talk.end(router).down_kernel == 0


def test_acme_as_well(lab):
    acme, https = lab.backends()
    router = lab.router(acme, https, plane="auto")
    client, server = lab.session(router, acme_hello(), acme)
    for _ in range(100):
        client.send(b"question")
        assert server.read(8) == b"question"
        server.send(b"answer")
        assert client.read(6) == b"answer"
    server.close()
    assert client.read_to_end() == b""
    client.close()
    assert router.closed(client).up_kernel > 0


def test_both_talk_at_once(lab, ground):
    """Neither side waits for the other: bytes arrive at every moment of the move."""
    router, https = ground
    moved = 0
    for seed in range(100):
        rng = random.Random(seed)
        talk = Talk(lab, router, https)
        for _ in range(60):
            counts = [rng.choice([1, 80, 1500, 9000]) for _ in range(2)]
            for side in rng.sample([0, 1], 2):
                talk.say(side, counts[side])
            for side in rng.sample([0, 1], 2):
                talk.hear(side, counts[side])
        moved += talk.end(router).up_kernel > 0
    assert moved > 50


@pytest.mark.parametrize("size", [1, 40_000, 3_000_000])
@pytest.mark.parametrize("turns", range(TURNS // 2 - 2, TURNS // 2 + 3))
def test_much_and_the_end_at_the_turn(lab, ground, turns, size):
    """A large message and the FIN right behind it, in both directions, just before, at, and after the move."""
    router, https = ground
    for _ in range(5):
        talk = Talk(lab, router, https)
        for _ in range(turns):
            talk.turn(10, 10)
        up, down = UP.bytes(talk.said[0], size), DOWN.bytes(talk.said[1], size)
        with sending(talk.server, down, then_end=True), receiving(talk.server) as at_server:
            talk.client.send(up).finish_sending()
            assert talk.client.read_to_end() == down
        assert at_server.data == up
        talk.client.close()
        talk.server.close()
        closed = router.closed(talk.client)
        assert closed.cause == "done" and closed.up == len(HELLO) + talk.said[0] + size
        assert closed.down == talk.said[1] + size


@pytest.mark.parametrize("turns", range(TURNS // 2 - 2, TURNS // 2 + 3))
@pytest.mark.parametrize("side", ["client", "server"])
def test_a_reset_at_the_turn(lab, ground, turns, side):
    router, https = ground
    for _ in range(5):
        talk = Talk(lab, router, https)
        for _ in range(turns):
            talk.turn(10, 10)
        ends = {"client": talk.client, "server": talk.server}
        ends.pop(side).reset()
        assert next(iter(ends.values())).outcome() == "reset"
        assert router.closed(talk.client).cause == ("client_reset" if side == "client" else "backend_reset")


def test_a_stall_after_the_move(lab, ground):
    """If the reader of a flow in the kernel stops, its bytes are owed; the flow continues with the reader."""
    router, https = ground
    talk = Talk(lab, router, https)
    for _ in range(TURNS):
        talk.turn()
    size = 8_000_000
    with sending(talk.server, DOWN.bytes(talk.said[1], size)):
        assert talk.client.read(size) == DOWN.bytes(talk.said[1], size)
    talk.said[1] += size
    for _ in range(20):
        talk.turn()
    closed = talk.end(router)
    assert closed.down_kernel > 0 and closed.down_user > 0
