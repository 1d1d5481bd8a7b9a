# SPDX-License-Identifier: BSD-2-Clause
"""
Validations and visitors behind firewalls that people publish, and in networks of other kinds: all are served. Where a
connection is taken over while it is a request still, neither connection tracking nor the web server knows of it.
tests/takeovers/run has more of each.
"""
import pytest

from sites import NETWORKS
from trial import Watched

COUNT = 5


@pytest.fixture(scope="module")
def watched(module_lab, authority):
    return Watched(module_lab, authority)


@pytest.mark.parametrize("name", NETWORKS)
def test_network(watched, lab, veth, name):
    with NETWORKS[name](lab, veth) as site:
        watched.arm(lab).check(site.places, COUNT, site.silent)
