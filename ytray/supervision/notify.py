"""Telling an init system how the service fares (systemd's sd_notify), where one asks for it by NOTIFY_SOCKET."""

from __future__ import annotations

import os
import socket


def notify(*words: str) -> None:
    """Send words such as READY=1; nothing where no init system listens."""
    where = os.environ.get("NOTIFY_SOCKET", "")
    if where[:1] not in ("/", "@"):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
        try:
            out.sendto("\n".join(words).encode(), where.replace("@", "\0", 1) if where[0] == "@" else where)
        except OSError:
            return  # whoever listened has gone; the system works without
