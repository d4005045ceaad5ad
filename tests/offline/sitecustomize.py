"""No network: every Python that starts with this folder on PYTHONPATH can reach this computer only.

Python imports `sitecustomize` as it starts, so conftest.py guards every notebook kernel and every
subprocess by one environment variable. A connection or a name look-up that would leave the loopback
interface raises an OSError and adds a line to the file in FTLIB_SOCKET_LOG, so that an attempt that
somebody catches and hides is still seen. What this cannot see is a library that opens sockets in its own C
or Rust code.
"""

import importlib.util
import ipaddress
import os
import socket
import sys
from importlib.machinery import PathFinder

LOCAL_NAMES = {"", "localhost", socket.gethostname().lower()}


def is_local(family: int, address: object) -> bool:
    """Whether the address stays on this computer: loopback, its own name, or no internet address at all."""
    if family not in (socket.AF_INET, socket.AF_INET6) or not isinstance(address, tuple):
        return True  # a Unix socket, say
    return is_local_name(address[0])


def is_local_name(host: object) -> bool:
    """Whether a host, given by name or number, is this computer."""
    name = (host.decode() if isinstance(host, bytes) else host or "").lower()
    try:
        number = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return name in LOCAL_NAMES
    number = getattr(number, "ipv4_mapped", None) or number
    return number.is_loopback or number.is_unspecified


def refuse(what: str, target: object) -> None:
    """Log the attempt, then raise."""
    if log := os.environ.get("FTLIB_SOCKET_LOG"):
        with open(log, "a", encoding="utf-8") as file:
            file.write(f"{what} {target!r} by process {os.getpid()}: {sys.argv}\n")
    raise OSError(f"blocked: {what} {target!r} would leave this computer, and the tests run without a network")


def guard_method(name: str, address_of) -> None:
    """Replace one method of `socket.socket`; `address_of` picks the address from its arguments."""
    original = getattr(socket.socket, name)

    def guarded(self, *args):
        address = address_of(args)
        if not is_local(self.family, address):
            refuse(name, address)
        return original(self, *args)

    setattr(socket.socket, name, guarded)


def guard_lookup(name: str) -> None:
    """Replace one function of `socket` that asks for the number of a name."""
    original = getattr(socket, name)

    def guarded(host, *args, **options):
        if not is_local_name(host):
            refuse(name, host)
        return original(host, *args, **options)

    setattr(socket, name, guarded)


def guard() -> None:
    """Guard this process, once."""
    if getattr(socket, "ftlib_guarded", False):
        return
    guard_method("connect", lambda args: args[0])
    guard_method("connect_ex", lambda args: args[0])
    guard_method("sendto", lambda args: args[-1])
    if hasattr(socket.socket, "sendmsg"):  # not on Windows
        guard_method("sendmsg", lambda args: args[3] if len(args) > 3 else None)
    for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex"):
        guard_lookup(name)
    socket.ftlib_guarded = True


def run_the_next() -> None:
    """Run the `sitecustomize` that this one hides, if the Python has one of its own."""
    here = os.path.realpath(os.path.dirname(__file__))
    elsewhere = [entry for entry in sys.path if os.path.realpath(entry) != here]
    if spec := PathFinder.find_spec("sitecustomize", elsewhere):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


guard()
if __name__ == "sitecustomize":
    run_the_next()
