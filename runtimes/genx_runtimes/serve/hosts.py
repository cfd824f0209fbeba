"""Which names a server answers to.

A page of another site can have its own name point at the loopback after it was loaded (DNS
rebinding): the browser then takes this server for that site. What tells them apart is `Host`.

Source: Jackson et al., "Protecting Browsers from DNS Rebinding Attacks", CCS 2007; RFC 9110, 7.2.
"""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def is_loopback(address: str) -> bool:
    """Return whether only this machine reaches an address, as `getsockname` tells it."""
    found = ip_address(address.partition("%")[0])
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return (mapped or found).is_loopback


def list_hosts(host: str, address: str, allowed: tuple[str, ...], *, keys: bool) -> tuple[str, ...]:
    """Return the names that `Host` may have; none are any.

    Another site's page has no key, and a server that others reach has names that it does not know.

    Args:
        host: that was asked to listen at.
        address: that it listens at.
        allowed: other names, that of a reverse proxy say.
        keys: whether one is asked for.
    """
    if not allowed and (keys or not is_loopback(address)):
        return ()
    own = (name.partition("%")[0] for name in (host, address))
    return (*_LOOPBACK, *own, *allowed)


def fold_host(text: str) -> str:
    """Return a host as names are compared: small letters, without port, brackets or last dot."""
    name, colon, port = text.rpartition(":")
    if not (colon and port.isdecimal() and (":" not in name or name.endswith("]"))):
        name = text
    return name.strip("[]").rstrip(".").lower()
