# SPDX-License-Identifier: BSD-2-Clause
"""What bpftool shows of a running alpnbpf: the names tell whose each program, map and link is, and its purpose."""
import glob
import json
import re

import pytest

from conftest import free_port
from in_place import ACME, armed
from netns import run

PREFIX = re.compile(r"alpnbpf_[a-z0-9_.]+")


def objects(router, kind):
    """All objects of a kind (prog, map, link) that the process holds, from bpftool."""
    ids = set()
    for path in glob.glob(f"/proc/{router.pid}/fdinfo/*"):
        with open(path, encoding="ascii") as file:
            ids.update(re.findall(rf"^{kind}_id:\t(\d+)$", file.read(), re.M))
    return [json.loads(run("bpftool", "-j", kind, "show", "id", number)) for number in sorted(ids, key=int)]


def check_names(router):
    """All have the prefix, and no two have the same name. Returns the names of programs and maps."""
    programs = {program["id"]: program["name"] for program in objects(router, "prog")}
    names = [map_["name"] for map_ in objects(router, "map")]
    # One ring a worker; and constants and variables of each BPF object, which libbpf names.
    several = {"alpnbpf_ring", "alpnbpf_.rodata", "alpnbpf_.bss"}
    for which in (list(programs.values()), names):
        assert all(map(PREFIX.fullmatch, which)), which
        assert len({name for name in which if name not in several}) == \
            len([name for name in which if name not in several]), which
    assert {link["prog_id"] for link in objects(router, "link")} <= programs.keys()
    return set(programs.values()), set(names)


def test_in_place(ground):
    router = ground.attach(inspect="watch", plane="sockmap")
    with armed(router):
        programs, maps = check_names(router)
    assert programs == {f"alpnbpf_{name}" for name in ("events", "hush", "inject", "keep", "keep_at", "owner", "peer4", "peer6", "pending",
                                                       "steer", "verdict", "watch", "wind")}
    assert {"alpnbpf_acme", "alpnbpf_own", "alpnbpf_taken", "alpnbpf_socks", "alpnbpf_flows"} <= maps


@pytest.mark.parametrize("options", [(), ("--route", "sni=example.test -> 8443")], ids=["bypass", "rules"])
def test_in_front(lab, options, plane):
    check_names(lab.router(ACME, free_port(), *options, bypass=True, plane=plane))
