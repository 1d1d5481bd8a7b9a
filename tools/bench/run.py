#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""
Compares alpnbpf with nginx and HAProxy in one run: the same bytes, the same machine, interleaved rounds (A B C D A B C D ...).
The client has a network namespace of its own, behind a veth pair with MTU 1500; everything else is in another one. rows.py has
the programs compared, scenarios.py the work.

    tools/bench/run.py [--quick] [--rounds N] [--only SCENARIO,...] [--rows ROW,...] [--congestion NAME] [--out DIRECTORY]
"""
import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys

import rows as rows_module
from rows import ALPNBPF, PEERS, QUICK, ROOT, write
from scenarios import Bench, load_scenarios, tls_scenarios

import netns  # noqa: E402  (rows.py has put the tests' directory on the path)
import plots  # noqa: E402


def summary(results):
    """figure -> row -> (median, least, most)"""
    table = {}
    for row, rounds in results.items():
        for figure in rounds[0]:
            values = [round_[figure] for round_ in rounds]
            table.setdefault(figure, {})[row] = (statistics.median(values), min(values), max(values))
    return table


def print_scenario(name, table):
    print(f"\n{name}")
    for figure, rows in table.items():
        direct = rows.get("direct", (0,))[0]
        peers = [rows[peer][0] for peer in PEERS if peer in rows]
        better = (max if figure.endswith("_per_s") else min)(peers) if peers else 0
        for row, (median, least, most) in rows.items():
            ratios = (f"  /direct {median / direct:5.2f}" if direct else "") + \
                (f"  /better peer {median / better:5.2f}" if better else "")
            print(f"  {figure:18} {row:15} {median:12.4g} [{least:.4g} .. {most:.4g}]{ratios}")
    sys.stdout.flush()


def version_of(*command):
    """The first line it prints."""
    result = subprocess.run(command, capture_output=True, text=True)
    return (result.stdout + result.stderr).strip().splitlines()[0]


def describe(rounds, congestion):
    with open("/proc/cpuinfo") as file:
        model = re.search(r"^model name\s*: (.*)$", file.read(), re.MULTILINE)
    return {"kernel": platform.release(), "cpu": model.group(1) if model else platform.machine(), "cpus": os.cpu_count(),
            "rounds": rounds, "congestion_control": congestion, "alpnbpf": version_of(ALPNBPF, "--version"),
            "nginx": version_of("/usr/sbin/nginx", "-v"), "haproxy": version_of("/usr/sbin/haproxy", "-v")}


def prepare_namespaces(veth, congestion):
    for prefix in ([], veth.namespace.prefix()):
        # For thousands of connections per second; and because the machine's own congestion control would affect the
        # figures: BBR paces with timers, which are expensive in a virtual machine.
        netns.run(*prefix, "sysctl", "-qw", "net.ipv4.tcp_tw_reuse=1", "net.ipv4.ip_local_port_range=10000 65000",
                  f"net.ipv4.ip_local_reserved_ports={rows_module.ACME},{rows_module.RESPONDER}",
                  f"net.ipv4.tcp_congestion_control={congestion}")


def measure(bench, scenarios, rows, rounds):
    """name -> summary; each is printed at once."""
    every = {}
    for name, work in scenarios.items():
        results = {row.name: [] for row in rows}
        for _ in range(rounds):
            for row in rows:
                with row:
                    bench.wait_quiet()
                    results[row.name].append(work(row))
        every[name] = summary(results)
        print_scenario(name, every[name])
    return every


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--only", default="")
    parser.add_argument("--rows")
    parser.add_argument("--congestion", default="reno")
    parser.add_argument("--out", default=os.path.join(ROOT, "build", "bench"))
    arguments = parser.parse_args()
    os.makedirs(arguments.out, exist_ok=True)
    rounds = arguments.rounds or (3 if arguments.quick else 5)
    wanted = arguments.rows.split(",") if arguments.rows else QUICK if arguments.quick else rows_module.ALL
    netns.enter_private()
    veth = netns.VethPair()
    prepare_namespaces(veth, arguments.congestion)
    machine = describe(rounds, arguments.congestion)
    print("\n".join(f"{name}: {value}" for name, value in machine.items()))
    bench = Bench(veth, arguments.quick)
    every = {}
    for first_port, start_servers, scenarios in (
            (4430, rows_module.start_load_servers, load_scenarios(bench)),
            (4530, lambda: rows_module.start_tls_servers(arguments.out), tls_scenarios(bench))):
        scenarios = {name: work for name, work in scenarios.items()
                     if not arguments.only or name in arguments.only.split(",")}
        if not scenarios:
            continue
        servers = start_servers()
        rows = rows_module.make_all(wanted, first_port, servers, arguments.out)
        try:
            every |= measure(bench, scenarios, rows, rounds)
        finally:  # nginx's workers would outlive us
            servers.stop()
    document = {"machine": machine, "scenarios": every}
    write(os.path.join(arguments.out, "results.json"), json.dumps(document, indent=1))
    drawn = plots.draw_all(document, arguments.out)
    print(f"\n{arguments.out}: results.json {' '.join(drawn)}")


if __name__ == "__main__":
    main()
