"""Forks the agents of replicas out of a process that is already up: a start costs a millisecond, not an interpreter.

It is a child of the server, spoken to through one socket of whole packets. It holds nothing: killed at any time, it
is started again and what was not answered is asked again. When the server goes, so does it; the agents stay.
"""
from __future__ import annotations

import gc
import os
import signal
import socket
import sys
from functools import partial

from trainyard.agent.guard import guard, leave
from trainyard.agent.task import complain

MOST_BYTES_OF_A_PACKET = 128 * 1024


def main() -> None:
    """Serve the socket whose descriptor is the first argument, until its other end is closed."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)       # guards are reaped by the kernel
    os.chdir("/")
    gc.disable()
    gc.freeze()
    while packet := channel.recv(MOST_BYTES_OF_A_PACKET):
        if os.fork() == 0:
            leave(partial(_guard, channel, packet))


def _guard(channel: socket.socket, packet: bytes) -> None:
    if packet.startswith(b"@"):      # too large for a packet
        with open(packet[1:], "rb") as file:  # noqa: PTH123 - no pathlib in the agent
            packet = file.read()
    try:
        guard(packet, channel)
    except OSError as error:
        complain(channel, packet.partition(b"\n")[0].decode(), error)


if __name__ == "__main__":
    main()
