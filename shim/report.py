"""Telling whoever launched the shim what happens: one JSON line an event, on a socket that it holds."""

from __future__ import annotations

import socket

from holdfast.protocol import control


def tell(report_fd: int | None, event: control.Event) -> None:
    """Report an event, if somebody still listens."""
    if report_fd is None:
        return
    with socket.socket(fileno=report_fd) as report:
        try:
            report.sendall(control.encode(event), socket.MSG_NOSIGNAL)
        except OSError:  # the launcher has left, as it does when the container is to run in the background
            return
        finally:
            report.detach()
