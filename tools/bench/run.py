#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""
Compares the program with nginx and HAProxy, side by side in one run: the same bytes, the same machine, rounds interleaved
(A B C D A B C D ...). The client has a network namespace of its own behind a veth pair of MTU 1500; all else is in
another. CPU is that of the whole machine, from /proc/stat: client, kernel, router and server together.

    tools/bench/run.py [--quick] [--rounds N] [--only SCENARIO,...] [--rows ROW,...] [--out DIRECTORY]
"""
import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))

import netns  # noqa: E402
from children import Child, wait_port  # noqa: E402

LOAD = os.path.join(ROOT, "build", "bench-load")
ALPNBPF = os.path.join(ROOT, "alpnbpf")
BACKEND, IN_PLACE_IDLE, IN_PLACE_ARMED = 8443, 8444, 8445
TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
PEERS = ("nginx", "haproxy")

NGINX = """
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off; worker_processes auto; user root; pid {dir}/nginx.pid; error_log stderr error; worker_rlimit_nofile 20000;
events {{ worker_connections 10000; }}
stream {{
    map $ssl_preread_alpn_protocols $backend {{
        ~\\bacme-tls/1\\b 127.0.0.1:10443;
        default 127.0.0.1:{backend};
    }}
    server {{ listen {port} reuseport; listen [::]:{port} reuseport; ssl_preread on; proxy_pass $backend; tcp_nodelay on; }}
}}
"""

HAPROXY = """
global
    maxconn 7800
    nbthread 2
defaults
    mode tcp
    option splice-auto
    timeout connect 5s
    timeout client 10m
    timeout server 10m
frontend tls
    bind :{port}
    bind [::]:{port} v6only
    tcp-request inspect-delay 5s
    tcp-request content accept if {{ req.ssl_hello_type 1 }}
    use_backend acme if {{ req.ssl_alpn acme-tls/1 }}
    default_backend web
backend acme
    server acme 127.0.0.1:10443
backend web
    server web 127.0.0.1:{backend}
"""


class Row:
    """Something between client and server: its port, and the processes whose memory counts."""

    def __init__(self, name, port, child=None):
        self.name, self.port, self.child = name, port, child

    def rss(self):
        if not self.child:
            return 0
        pids = [str(self.child.pid)] + subprocess.run(["pgrep", "-P", str(self.child.pid)], capture_output=True,
                                                      text=True).stdout.split()
        total = 0
        for pid in pids:
            with open(f"/proc/{pid}/smaps_rollup") as file:
                total += int(re.search(r"^Pss:\s+(\d+)", file.read(), re.MULTILINE).group(1)) * 1024
        return total


def write(path, text):
    with open(path, "w") as file:
        file.write(text)
    return path


def start_rows(wanted, directory):
    """Everything is up during the whole run, and idle while the others are measured."""
    rows, port = [], 4430
    for server_port in (BACKEND, IN_PLACE_IDLE, IN_PLACE_ARMED):
        wait_port(("127.0.0.1", server_port), Child(LOAD, "server", str(server_port)))

    def attach(*options):
        child = Child(ALPNBPF, "attach", "--acme", "10443", *options)
        child.wait_line(r"\bready\b", 15)
        return child

    for name in wanted:
        port += 1
        listen = ["--listen", f"0.0.0.0:{port}", "--listen", f"[::]:{port}"]
        if name == "direct":
            rows.append(Row(name, BACKEND))
        elif name == "nginx":
            config = write(f"{directory}/nginx.conf", NGINX.format(dir=directory, port=port, backend=BACKEND))
            rows.append(Row(name, port, Child("/usr/sbin/nginx", "-c", config, "-p", directory)))
        elif name == "haproxy":
            config = write(f"{directory}/haproxy.cfg", HAPROXY.format(port=port, backend=BACKEND))
            rows.append(Row(name, port, Child("/usr/sbin/haproxy", "-db", "-f", config)))
        elif name == "alpnbpf":
            rows.append(Row(name, port, attach("--https", str(BACKEND), "--no-bypass", "--dataplane", "sockmap", *listen)))
        elif name == "alpnbpf-user":
            rows.append(Row(name, port, attach("--https", str(BACKEND), "--no-bypass", "--dataplane", "user", *listen)))
        elif name == "in-place-idle":
            rows.append(Row(name, IN_PLACE_IDLE, attach("--https", str(IN_PLACE_IDLE), "--listen", str(IN_PLACE_IDLE))))
        elif name == "in-place-armed":
            rows.append(Row(name, IN_PLACE_ARMED, attach("--https", str(IN_PLACE_ARMED), "--listen", str(IN_PLACE_ARMED),
                                                         "--arm", "always", "--dataplane", "sockmap")))
        else:
            sys.exit(f"no row {name}")
        wait_port(("127.0.0.1", rows[-1].port))
    return rows


def cpu_seconds():
    """Of the whole machine since boot: user, nice, system, irq, softirq."""
    with open("/proc/stat") as file:
        fields = [int(value) for value in file.readline().split()[1:]]
    return (fields[0] + fields[1] + fields[2] + fields[5] + fields[6]) / TICK


class Bench:
    def __init__(self, veth, quick):
        self.veth, self.quick = veth, quick

    def client(self, row, **options):
        command = [*self.veth.namespace.prefix(), LOAD, "client", self.veth.server4, str(row.port),
                   *[f"{name}={int(value)}" for name, value in options.items()]]
        return command

    def run(self, row, **options):
        """One client run: its report with the machine's CPU seconds."""
        before = cpu_seconds()
        result = subprocess.run(self.client(row, **options), capture_output=True, text=True, timeout=300)
        if result.returncode:
            sys.exit(f"{row.name}: {result.stderr}")
        report = json.loads(result.stdout)
        report["cpu"] = cpu_seconds() - before
        return report

    # Each returns name -> figure; lower is better but for *_per_s.

    def bulk(self, row, sessions, up=1, down=1):
        report = self.run(row, sessions=sessions, up=max(1, up // sessions), down=max(1, down // sessions))
        gigabytes = (report["up"] + report["down"]) / 1e9
        return {"cpu_s_per_GB": report["cpu"] / gigabytes, "MB_per_s": gigabytes * 1000 / report["seconds"]}

    def requests(self, row, sessions, size):
        report = self.run(row, sessions=sessions, up=512, down=size, rounds=0, seconds=2 if self.quick else 4)
        return {"cpu_us": report["cpu"] / report["rounds"] * 1e6, "p50_us": report["p50"] * 1e6,
                "p99_us": report["p99"] * 1e6, "requests_per_s": report["rounds"] / report["seconds"]}

    def connections(self, row):
        report = self.run(row, sessions=16, up=512, down=512, reconnect=6000 if self.quick else 12000)
        return {"cpu_us": report["cpu"] / report["sessions"] * 1e6, "p50_us": report["p50"] * 1e6,
                "connections_per_s": report["sessions"] / report["seconds"]}

    def wan(self, row, size, pace):
        count = 60
        rounds = max(1, int(pace * (2 if self.quick else 4) / size))
        report = self.run(row, sessions=count, up=512, down=size, rounds=rounds, pace=pace)
        gigabytes = report["down"] / 1e9
        return {"cpu_s_per_GB": report["cpu"] / gigabytes, "MB_per_s": gigabytes * 1000 / report["seconds"]}

    def held(self, row, sessions, hold, settle):
        """Memory and CPU while sessions stand: (bytes a session, share of one CPU)."""
        def memory():
            with open("/proc/meminfo") as file:
                slab = int(re.search(r"^Slab:\s+(\d+)", file.read(), re.MULTILINE).group(1)) * 1024
            with open("/proc/net/sockstat") as file:
                tcp = int(re.search(r"^TCP:.* mem (\d+)", file.read(), re.MULTILINE).group(1)) * PAGE
            return slab + tcp + row.rss()

        before = memory()
        child = subprocess.Popen(self.client(row, sessions=sessions, hold=hold), stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, text=True)
        if "holding" not in child.stdout.readline():
            sys.exit(f"{row.name}: the load did not stand")
        time.sleep(settle)  # a measuring interval: what is on its way arrives
        used = memory() - before
        busy, begin = cpu_seconds(), time.monotonic()
        time.sleep(2)
        share = (cpu_seconds() - busy) / (time.monotonic() - begin)
        child.stdin.close()
        child.wait()
        time.sleep(0.5)
        return {"bytes": used / sessions, "cpu_share": share}


def scenarios(bench):
    size = 600_000_000 if bench.quick else 2_000_000_000
    result = {
        "download-1": lambda row: bench.bulk(row, 1, down=size),
        "download-16": lambda row: bench.bulk(row, 16, down=size),
        "upload-1": lambda row: bench.bulk(row, 1, up=size),
        "upload-16": lambda row: bench.bulk(row, 16, up=size),
        "request-512-1": lambda row: bench.requests(row, 1, 512),
        "request-512-64": lambda row: bench.requests(row, 64, 512),
        "request-16K-1": lambda row: bench.requests(row, 1, 16384),
        "request-16K-64": lambda row: bench.requests(row, 64, 16384),
        "connection": bench.connections,
        "wan-100K": lambda row: bench.wan(row, 100_000, 1_500_000),
        "wan-1M": lambda row: bench.wan(row, 1_000_000, 3_000_000),
        "wan-10M": lambda row: bench.wan(row, 10_000_000, 5_000_000),
        "stalled-1000": lambda row: bench.held(row, 1000, 2, 3),
        "idle-1000": lambda row: bench.held(row, 1000, 1, 1),
    }
    if not bench.quick:
        result["idle-100"] = lambda row: bench.held(row, 100, 1, 1)
        result["idle-7500"] = lambda row: bench.held(row, 7500, 1, 2)
    return result


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


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--only", default="")
    parser.add_argument("--rows", default="direct,nginx,haproxy,alpnbpf,alpnbpf-user,in-place-idle,in-place-armed")
    parser.add_argument("--out", default=os.path.join(ROOT, "build", "bench"))
    arguments = parser.parse_args()
    os.makedirs(arguments.out, exist_ok=True)
    netns.enter_private()
    veth = netns.VethPair()
    for prefix in ([], veth.namespace.prefix()):  # thousands of connections a second, over and over
        netns.run(*prefix, "sysctl", "-qw", "net.ipv4.tcp_tw_reuse=1", "net.ipv4.ip_local_port_range=10000 65000")
    bench = Bench(veth, arguments.quick)
    rows = start_rows(arguments.rows.split(","), arguments.out)
    rounds = arguments.rounds or (3 if arguments.quick else 7)
    names = [name for name in scenarios(bench) if not arguments.only or name in arguments.only.split(",")]
    every = {"machine": {"kernel": platform.release(), "cpus": os.cpu_count(), "rounds": rounds}, "scenarios": {}}
    for name in names:
        results = {row.name: [] for row in rows}
        for _ in range(rounds):
            for row in rows:
                results[row.name].append(scenarios(bench)[name](row))
        every["scenarios"][name] = summary(results)
        print_scenario(name, every["scenarios"][name])
        sys.stdout.flush()
    write(os.path.join(arguments.out, "results.json"), json.dumps(every, indent=1))
    for row in rows:
        if row.child:
            row.child.stop()


if __name__ == "__main__":
    main()
