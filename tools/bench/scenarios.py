# SPDX-License-Identifier: BSD-2-Clause
"""
The work that is measured, byte for byte the same for every row. Lower figures are better, except *_per_s. CPU is that of
the whole machine, from /proc/stat: client, kernel, router and server together.
"""
import json
import os
import re
import subprocess
import sys
import time

from rows import LOAD

TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def cpu_seconds():
    """Of the whole machine since boot: user, nice, system, irq, softirq."""
    with open("/proc/stat") as file:
        fields = [int(value) for value in file.readline().split()[1:]]
    return (fields[0] + fields[1] + fields[2] + fields[5] + fields[6]) / TICK


def milliseconds(text):
    """wrk's 1.23ms, 456.00us, 1.02s."""
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


class Bench:
    def __init__(self, veth, quick):
        self.veth, self.quick = veth, quick
        self.seconds = 1 if quick else 3

    def wait_quiet(self):
        """Waits until the machine is idle, so that starting a row, and ending the previous one, is not measured."""
        end = time.monotonic() + (1 if self.quick else 5)
        while time.monotonic() < end:
            before = cpu_seconds()
            time.sleep(0.2)
            if cpu_seconds() - before <= 0.02:
                return

    def _measured(self, row, command):
        before = cpu_seconds()
        result = subprocess.run([*self.veth.namespace.prefix(), *command], capture_output=True, text=True, timeout=300)
        if result.returncode:
            sys.exit(f"{row.name}: {' '.join(command)}: {result.stdout}{result.stderr}")
        return result.stdout, cpu_seconds() - before

    def _client(self, row, **options):
        return [LOAD, "client", self.veth.server4, str(row.port),
                *[f"{name}={int(value)}" for name, value in options.items()]]

    def _run(self, row, **options):
        """One client run: its report with the machine's CPU seconds."""
        output, cpu = self._measured(row, self._client(row, **options))
        report = json.loads(output)
        report["cpu"] = cpu
        return report

    def bulk(self, row, sessions, up=1, down=1):
        report = self._run(row, sessions=sessions, up=max(1, up // sessions), down=max(1, down // sessions))
        gigabytes = (report["up"] + report["down"]) / 1e9
        return {"cpu_s_per_GB": report["cpu"] / gigabytes, "MB_per_s": gigabytes * 1000 / report["seconds"]}

    def requests(self, row, sessions, size):
        report = self._run(row, sessions=sessions, up=512, down=size, rounds=0, seconds=self.seconds)
        return {"cpu_us": report["cpu"] / report["rounds"] * 1e6, "p50_us": report["p50"] * 1e6,
                "p99_us": report["p99"] * 1e6, "requests_per_s": report["rounds"] / report["seconds"]}

    def connections(self, row):
        report = self._run(row, sessions=16, up=512, down=512, reconnect=5000 if self.quick else 15000)
        return {"cpu_us": report["cpu"] / report["sessions"] * 1e6, "p50_us": report["p50"] * 1e6,
                "connections_per_s": report["sessions"] / report["seconds"]}

    def wan(self, row, size, pace):
        rounds = max(1, int(pace * (1.5 if self.quick else 3) / size))
        report = self._run(row, sessions=60, up=512, down=size, rounds=rounds, pace=pace)
        gigabytes = report["down"] / 1e9
        return {"cpu_s_per_GB": report["cpu"] / gigabytes, "MB_per_s": gigabytes * 1000 / report["seconds"]}

    def held(self, row, sessions, hold, settle):
        """Memory and CPU of established sessions: bytes per session, share of one CPU."""
        def memory():
            with open("/proc/meminfo") as file:
                slab = int(re.search(r"^Slab:\s+(\d+)", file.read(), re.MULTILINE).group(1)) * 1024
            with open("/proc/net/sockstat") as file:
                tcp = int(re.search(r"^TCP:.* mem (\d+)", file.read(), re.MULTILINE).group(1)) * PAGE
            return slab + tcp + row.rss()

        before = memory()
        child = subprocess.Popen([*self.veth.namespace.prefix(), *self._client(row, sessions=sessions, hold=hold)],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if "holding" not in child.stdout.readline():
            sys.exit(f"{row.name}: the load generator's sessions were not established")
        time.sleep(settle)  # a measuring interval: bytes under way arrive
        used = memory() - before
        busy, begin = cpu_seconds(), time.monotonic()
        time.sleep(1 if self.quick else 2)
        share = (cpu_seconds() - busy) / (time.monotonic() - begin)
        child.stdin.close()
        child.wait()
        time.sleep(0.5)  # the kernel frees sockets after a grace period
        return {"bytes": used / sessions, "cpu_share": share}

    def tls_http1(self, row, path, *headers):
        """wrk: 16 connections, one request at a time each."""
        command = ["wrk", "-t1", "-c16", f"-d{self.seconds if self.quick else self.seconds + 1}s", "--latency"]
        for header in headers:
            command += ["-H", header]
        output, cpu = self._measured(row, [*command, f"https://{self.veth.server4}:{row.port}{path}"])
        count = int(re.search(r"(\d+) requests in", output).group(1))
        if re.search(r"Socket errors|Non-2xx", output):
            sys.exit(f"{row.name}: wrk: {output}")
        figures = dict(re.findall(r"^\s+(50|99)%\s+(\S+)", output, re.MULTILINE))
        return {"cpu_us": cpu / count * 1e6, "p50_us": milliseconds(figures["50"]) * 1000,
                "p99_us": milliseconds(figures["99"]) * 1000,
                "requests_per_s": float(re.search(r"Requests/sec:\s+([\d.]+)", output).group(1))}

    def tls_http2(self, row, path):
        """h2load: 8 connections, 10 streams each."""
        count = 10000 if self.quick else 60000
        output, cpu = self._measured(row, ["h2load", "-n", str(count), "-c", "8", "-m", "10",
                                           f"https://{self.veth.server4}:{row.port}{path}"])
        if f"{count} succeeded" not in output:
            sys.exit(f"{row.name}: h2load: {output}")
        return {"cpu_us": cpu / count * 1e6,
                "requests_per_s": float(re.search(r"finished in .*?, ([\d.]+) req/s", output).group(1))}


def load_scenarios(bench):
    """name -> function of a row; with the load generator's own server."""
    size = 400_000_000 if bench.quick else 2_000_000_000
    result = {
        "download-1": lambda row: bench.bulk(row, 1, down=size),
        "upload-1": lambda row: bench.bulk(row, 1, up=size),
        "request-512-1": lambda row: bench.requests(row, 1, 512),
        "request-16K-64": lambda row: bench.requests(row, 64, 16384),
        "connection": bench.connections,
        "wan-1M": lambda row: bench.wan(row, 1_000_000, 3_000_000),
        "idle-1000": lambda row: bench.held(row, 1000, 1, 1),
    }
    if bench.quick:
        return result
    return result | {
        "download-16": lambda row: bench.bulk(row, 16, down=size),
        "upload-16": lambda row: bench.bulk(row, 16, up=size),
        "request-512-64": lambda row: bench.requests(row, 64, 512),
        "request-16K-1": lambda row: bench.requests(row, 1, 16384),
        "wan-100K": lambda row: bench.wan(row, 100_000, 1_500_000),
        "wan-10M": lambda row: bench.wan(row, 10_000_000, 5_000_000),
        "stalled-1000": lambda row: bench.held(row, 1000, 2, 3),
        "idle-100": lambda row: bench.held(row, 100, 1, 1),
        "idle-7500": lambda row: bench.held(row, 7500, 1, 2),
    }


def tls_scenarios(bench):
    """With nginx as the server; TLS and HTTP are most of the work."""
    result = {"tls-http1-1K": lambda row: bench.tls_http1(row, "/1k")}
    if bench.quick:
        return result
    return result | {
        "tls-http1-16K": lambda row: bench.tls_http1(row, "/16k"),
        "tls-connection": lambda row: bench.tls_http1(row, "/1k", "Connection: close"),
        "tls-http2-16K": lambda row: bench.tls_http2(row, "/16k"),
    }
