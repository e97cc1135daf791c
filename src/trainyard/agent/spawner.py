"""Forks the agents of replicas out of a process that is already up, and gives short programs agents that are idle.

It is a child of the server, spoken to through one socket of whole packets. It holds nothing: killed at any time, it
is started again and what was not answered is asked again. When the server goes, so does it; the agents stay.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import sys
import time
from functools import partial

from trainyard.agent.guard import guard, leave
from trainyard.agent.task import MOST_BYTES_OF_A_PACKET
from trainyard.agent.view import show_buckets

_MOST_IDLE = 32
_IDLE_SECONDS = 3.0


class Spawner:
    """A pair of agents that has finished is kept for a moment: its memory is its own by then, and costs no copying."""

    def __init__(self, channel: socket.socket) -> None:
        """`channel` leads to the server."""
        self._channel = channel
        self._pairs: dict[int, socket.socket] = {}
        self._idle: dict[int, float] = {}  # since when, on the monotonic clock; the longest idle first
        self._poller = select.poll()
        self._poller.register(channel, select.POLLIN)

    def serve(self) -> None:
        """Until the server closes its end."""
        while True:
            for descriptor, _ in self._poller.poll(_IDLE_SECONDS * 500 if self._idle else None):
                if descriptor != self._channel.fileno():
                    self._hear(descriptor)
                elif packet := self._channel.recv(MOST_BYTES_OF_A_PACKET):
                    self._give(packet)
                else:
                    return
            self._retire()

    def _give(self, packet: bytes) -> None:
        """To the pair that was busy last, whose memory is warmest, or to a new one."""
        while self._idle:
            descriptor, _ = self._idle.popitem()
            try:
                self._pairs[descriptor].send(packet)
            except OSError:
                self._drop(descriptor)
            else:
                return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if os.fork() == 0:
            for other in (self._channel, ours, *self._pairs.values()):
                other.close()
            leave(partial(guard, packet, theirs))
        theirs.close()
        self._pairs[ours.fileno()] = ours
        self._poller.register(ours, select.POLLIN)

    def _hear(self, descriptor: int) -> None:
        """A pair has finished, perhaps with a complaint for the server; or it is gone."""
        try:
            said = self._pairs[descriptor].recv(MOST_BYTES_OF_A_PACKET)
        except OSError:
            said = b""
        if not said or len(self._idle) >= _MOST_IDLE:
            self._drop(descriptor)
        else:
            self._idle[descriptor] = time.monotonic()
        if len(said) > 1:
            self._channel.send(said[1:], socket.MSG_DONTWAIT)

    def _retire(self) -> None:
        """Let go who has been idle for long; only we decide that, so that no packet is sent to somebody leaving."""
        limit = time.monotonic() - _IDLE_SECONDS
        for descriptor in [each for each, since in self._idle.items() if since < limit]:
            del self._idle[descriptor]
            self._drop(descriptor)

    def _drop(self, descriptor: int) -> None:
        self._poller.unregister(descriptor)
        self._pairs.pop(descriptor).close()


def main() -> None:
    """Serve the socket whose descriptor is the first argument, until its other end is closed.

    A second and third argument are the directories for view.show_buckets.
    """
    channel = socket.socket(fileno=int(sys.argv[1]))
    if sys.argv[2:]:
        try:
            show_buckets(*sys.argv[2:])
        except OSError as error:
            channel.send(json.dumps({"view": str(error.strerror or error)}).encode())
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # guards are reaped by the kernel
    os.chdir("/")
    gc.disable()
    gc.freeze()
    Spawner(channel).serve()


if __name__ == "__main__":
    main()
