# SPDX-License-Identifier: BSD-2-Clause
"""Lines that anybody on the network can cause: limited by network, and what is left out is counted and told."""
import re

from calls import RawCall, Stream, raw_hello, run
from control import status
from hellos import ACME as ACME_NAME
from hellos import https_hello
from sockets import RESET
from trial import Responder

AT_ONCE = 200  # user/engine/source_lines.c


def validate(target, responder, namespace, count):
    hello = raw_hello(ACME_NAME, share=0)
    stream = Stream(lambda: RawCall(target, hello, responder.certificate, ACME_NAME), count, 10)
    run(stream, namespace=namespace)
    assert not stream.failures(), str(stream)


def lines_of(router, client):
    return [line for line in router.lines() if re.search(rf"acme validation of \S+ for {re.escape(client)}:", line)]


def test_validations_of_one_network(lab, veth):
    """500 from one are not 500 lines, and those of another network are there all the same."""
    responder = Responder(lab)
    router = lab.router(10443, lab.listener(), listen=[("0.0.0.0", 443), ("::", 443)], log_level="info")
    validate((veth.server4, 443), responder, veth.namespace, 500)
    validate((veth.server6, 443), responder, veth.namespace, 20)
    router.finish()
    flood, others = lines_of(router, veth.client4), lines_of(router, f"[{veth.client6}]")
    totals = router.totals()
    assert AT_ONCE <= len(flood) < AT_ONCE + 60 and len(others) == 20, (len(flood), len(others))
    told = [int(found) for found in re.findall(r"; (\d+) others were not logged", "\n".join(flood + others))]
    assert sum(told) == 500 - len(flood)
    assert totals["log_lines_suppressed"] == sum(told)


def test_refusals_by_network(lab, veth):
    """A client that is refused again and again does not hide the refusal of another."""
    router = lab.router(*lab.backends(), "--max-per-source", "1", listen=[("0.0.0.0", 443), ("::", 443)])
    https = lab.listeners[1]
    held = [lab.connect((host, 443), namespace=veth.namespace) for host in (veth.server4, veth.server6)]
    for client in held:
        client.send(https_hello())
        https.accept()
    for host in [veth.server4] * 30 + [veth.server6]:
        client = lab.connect((host, 443), namespace=veth.namespace)
        try:
            client.send(https_hello())
            assert client.read_to_end() == b""
        except RESET:
            pass
        client.close()
    assert status(router)["events"]["source_refused"] == 31
    refused = [line for line in router.lines() if " warn refused " in line]
    assert 5 <= sum(veth.client4 in line for line in refused) <= 8
    assert sum(veth.client6 in line for line in refused) == 1
