"""A slow and lossy network cable: a program that carries frames between two TAP devices, late, and not all of them.

`tc netem` does this in the kernel, where the kernel has it; this needs nothing but /dev/net/tun.
"""

from __future__ import annotations

import fcntl
import heapq
import itertools
import os
import random
import select
import struct
import sys
import time

_TUNSETIFF = 0x400454CA
_TAP, _NO_PACKET_INFO = 0x0002, 0x1000
_FRAME = 65536  # bytes: more than any


def carry(one: str, other: str, delay: float, loss: float) -> None:
    """Carry frames both ways, each `delay` seconds late, and lose this share of them."""
    ends = [_attached(one), _attached(other)]
    print("ready", flush=True)
    chance, order = random.Random(1), itertools.count()
    on_the_way: list[tuple[float, int, int, bytes]] = []
    while True:
        wait = max(0.0, on_the_way[0][0] - time.monotonic()) if on_the_way else None
        readable, _, _ = select.select(ends, [], [], wait)
        now = time.monotonic()
        for end in readable:
            frame = os.read(end, _FRAME)
            if chance.random() >= loss:
                heapq.heappush(on_the_way, (now + delay, next(order), ends[end == ends[0]], frame))
        while on_the_way and on_the_way[0][0] <= now:
            _, _, to, frame = heapq.heappop(on_the_way)
            try:
                os.write(to, frame)
            except OSError:  # that end is down: a cable does not care
                continue


def _attached(device: str) -> int:
    end = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(end, _TUNSETIFF, struct.pack("16sH14s", device.encode(), _TAP | _NO_PACKET_INFO, b""))
    return end


if __name__ == "__main__":
    carry(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4]))
