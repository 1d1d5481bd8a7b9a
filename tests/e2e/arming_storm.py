#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""
Begins to listen and closes again, as fast as it goes or with a pause while it listens: arming_storm.py PORT [SECONDS].
Prints `storming`, and at the end (SIGTERM) how many times a second it listened. Used by test_storms.py.
"""
import signal
import socket
import sys
import time

port, held = int(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 0
count, began = 0, time.monotonic()


def end(*_):
    print(f"{count / (time.monotonic() - began):.0f} a second", flush=True)
    sys.exit(0)


signal.signal(signal.SIGTERM, end)
print("storming", flush=True)
while True:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(1)
        if held:
            time.sleep(held)
    count += 1
