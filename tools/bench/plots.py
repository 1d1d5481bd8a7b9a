# SPDX-License-Identifier: BSD-2-Clause
"""Draws a results.json with gnuplot, as SVG. `plots.py RESULTS DIRECTORY` draws an existing one."""
import json
import os
import subprocess
import sys

COLOURS = {"direct": "#9a9a9a", "nginx": "#2e8b57", "haproxy": "#3b6fb6", "alpnbpf": "#d1495b",
           "alpnbpf-sockmap": "#e8a0a9", "alpnbpf-user": "#7d2b38", "front-armed": "#8f6bb3", "in-place-idle": "#edae49",
           "in-place-armed": "#b07d1f", "in-place-steered": "#6b5a2e"}
CPU = ("cpu_s_per_GB", "cpu_us")

HEAD = """
set terminal svg size 1000,420 font "sans-serif,12" background rgb "white"
set output "{path}"
set style data histogram
set style histogram errorbars gap 2 lw 0.7
set style fill solid 0.9 noborder
set boxwidth 0.95
set errorbars 0.4 linecolor rgb "#555555"
set grid ytics lc rgb "#dddddd"
set key outside top center horizontal
set border 3
set xtics nomirror
set ytics nomirror
set yrange [0:*]
set title "{title}"
set ylabel "{label}"
"""


def draw(path, title, label, rows, groups):
    """groups: (name, {row: (median, least, most)}); missing rows leave a gap."""
    data, plots = [], []
    for row in rows:
        block = f"${row.replace('-', '_')} << EOD\n"
        for name, figures in groups:
            median, least, most = figures.get(row, (0, 0, 0))
            block += f'"{name}" {median:.6g} {least:.6g} {most:.6g}\n'
        data.append(block + "EOD\n")
        plots.append(f"${row.replace('-', '_')} using 2:3:4:xtic(1) title \"{row}\" lc rgb \"{COLOURS[row]}\"")
    script = HEAD.format(path=path, title=title, label=label) + "".join(data) + "plot " + ", \\\n  ".join(plots) + "\n"
    subprocess.run(["gnuplot"], input=script, text=True, check=True)


def relative(figures):
    """Divides by the direct connection's median."""
    direct = figures["direct"][0]
    return {row: tuple(value / direct for value in values) for row, values in figures.items()} if direct else {}


def cpu_groups(results, wanted):
    for name in wanted:
        for figure in CPU:
            if figure in results.get(name, {}):
                yield name, relative(results[name][figure])


def draw_all(document, directory):
    results = document["scenarios"]
    rows = [row for row in COLOURS if any(row in figures for scenario in results.values() for figures in scenario.values())]
    if "direct" not in rows:
        return []
    where = f"Linux {document['machine']['kernel'].partition('-')[0]}, {document['machine']['cpus']} CPUs, median of {document['machine']['rounds']}"
    drawn = []
    for path, title, label, groups in (
            ("cpu.svg", "CPU of the whole machine for the same work", "times a direct connection",
             cpu_groups(results, ["download-1", "download-16", "upload-1", "upload-16", "wan-100K", "wan-1M", "wan-10M"])),
            ("requests.svg", "CPU of the whole machine per request or connection", "times a direct connection",
             cpu_groups(results, ["request-512-1", "request-512-64", "request-16K-1", "request-16K-64", "connection",
                                  "tls-http1-1K", "tls-http1-16K", "tls-http2-16K", "tls-connection"])),
            ("idle.svg", "Memory of an idle session, kernel and process, with client and server", "bytes",
             ((name, results[name]["bytes"]) for name in ("idle-100", "idle-1000", "idle-7500") if name in results))):
        groups = list(groups)
        if groups:
            draw(os.path.join(directory, path), f"{title} ({where})", label, rows, groups)
            drawn.append(path)
    return drawn


if __name__ == "__main__":
    with open(sys.argv[1]) as results_file:
        print("\n".join(draw_all(json.load(results_file), sys.argv[2])))
