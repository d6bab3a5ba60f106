"""Refuses every address of a network, in each Python that finds this folder on its path, and writes down who asked."""

from __future__ import annotations

import os
import socket
import sys

LOG = os.environ["AUTOFIT_TEST_NETWORK_LOG"]
NAMES = {"socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg"}
LOOK_UPS = {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "urllib.Request"}


def note(line: str) -> None:
    """Append to the log, with one system call."""
    log = os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(log, f"{line}\n".encode())
    os.close(log)


def refuse(event: str, arguments: tuple[object, ...]) -> None:
    """Raise at what would leave this machine; sockets between processes of it have no address of a network."""
    if event in LOOK_UPS or (event in NAMES and is_of_network(arguments[0]) and not is_of_this_machine(arguments[1])):
        note(f"used {event} {arguments[1:]!r}")
        raise OSError(f"no network here: {event}")


def is_of_network(one: object) -> bool:
    """Whether a socket is one of the internet's."""
    return getattr(one, "family", None) in {socket.AF_INET, socket.AF_INET6}


def is_of_this_machine(address: object) -> bool:
    """Whether an address is the machine's own: libraries bind one to learn whether there is IPv6."""
    return isinstance(address, tuple) and address[0] in {"127.0.0.1", "::1"}


note(f"watched {sys.argv[:1] or sys.orig_argv[-1:]}")
sys.addaudithook(refuse)
