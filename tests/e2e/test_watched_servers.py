# SPDX-License-Identifier: BSD-2-Clause
"""Validations and visitors of web servers that listen in unusual ways: as test_firewalls.py, with another server each."""
import pytest

from sites import SERVERS
from test_firewalls import COUNT


@pytest.mark.parametrize("name", SERVERS)
def test_server(lab, authority, veth, name):
    with SERVERS[name](lab, authority, veth) as site:
        site.watched.arm(lab).check(site.places, COUNT, site.silent)
