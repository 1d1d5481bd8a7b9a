# SPDX-License-Identifier: BSD-2-Clause
"""
Hellos of two segments, as post-quantum key shares make them, on links with delay: segments that change places, and many at
once. Nobody waits for a retransmission that is not there without us. tests/takeovers/run has larger numbers.
"""
import pytest

from calls import run
from control import status
from in_place import ACME
from link import linked
from trial import Watched, raw_validations, raw_visits

RTO = 200  # ms: the least time of a retransmission


@pytest.fixture(scope="module")
def watched(module_lab, authority):
    return Watched(module_lab, authority, parameters="backlog=4096")


def no_later(stream, direct):
    """Nobody waited for a timer of TCP; `direct` went another way in the same conditions."""
    assert not stream.failures() and not direct.failures(), f"{stream}; direct {direct}"
    latest, reference = stream.milliseconds(1), direct.milliseconds(1)
    assert latest < reference + RTO * 0.9, \
        f"the last took {latest:.0f} ms, {reference:.0f} ms directly; half of them {stream.milliseconds():.0f} ms"


@pytest.mark.alone
def test_segments_change_places(watched, lab):
    """Half of the packets are late by 8 ms, so that others overtake them."""
    with linked(lab, delay=5, reorder=50, late=8) as link:
        before = raw_visits(watched, (link.server4, 443), 60)
        run(before, namespace=link.namespace)
        watched.arm(lab)
        crowd = raw_validations(watched, (link.server4, 443), 60), raw_visits(watched, (link.server4, 443), 60)
        for stream in crowd:
            run(stream, namespace=link.namespace)
        direct = raw_validations(watched, (link.server4, ACME), 60)
        run(direct, namespace=link.namespace)
        no_later(crowd[0], direct)
        no_later(crowd[1], before)


@pytest.mark.alone
def test_many_at_once(watched, lab):
    """More hellos than any CA sends, in the same moment."""
    with linked(lab, delay=25) as link:
        watched.arm(lab)
        before = status(watched.router)["events"]["takeovers"]
        through, direct = (raw_validations(watched, (link.server6, port), 300, 300) for port in (443, ACME))
        for stream in (through, direct):
            run(stream, namespace=link.namespace)
        no_later(through, direct)
        assert status(watched.router)["events"]["takeovers"] - before == 300
