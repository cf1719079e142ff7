"""Where a webhook may lead: what its URL looks like, and which addresses may be connected to.

At a submission only the URL is looked at, and no name is resolved: whoever names a slow name server delays nobody.
At each delivery the name is resolved, and each of its addresses checked (webhook.py).
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from ytray.errors import SettingsError
from ytray.settings import settings

Permits = Callable[[str, int], bool]  # whether an address may be connected to at a port

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_PUBLIC_PORTS: Final = frozenset((80, 443, 8080, 8443))
_REFUSAL = (
    "its port is none of 80, 443, 8080 and 8443; whoever runs this system can allow others by YTRAY_WEBHOOK_NETWORKS"
)
_LONGEST_HOST = 253
_UNFIT = re.compile(r"[\x00-\x20\x7f\\]")

# What the registries of special addresses name, and metadata services on public addresses. Written out: what Python's
# `is_global` knows of them depends on its version.
_NOT_PUBLIC: Final = tuple(
    ipaddress.ip_network(block)
    for block in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16",  # Azure's services for a machine
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",  # multicast, and reserved
        "2001::/23",  # Teredo (2001::/32) among them
        "2001:db8::/32",
        "2002::/16",  # 6to4, which leads to the IPv4 address within
        "2620:4f:8000::/48",
        "3fff::/20",
    )
)
_PUBLIC_V6: Final = ipaddress.ip_network("2000::/3")  # NAT64, multicast, private and local ones are all outside
_EMBEDS_V4: Final = ipaddress.ip_network("::/96")


@dataclass(frozen=True, slots=True)
class Target:
    """What a webhook's URL leads to: a name in ASCII or an address, and a port."""

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """The host and, where it is not the scheme's own, the port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def literal(self) -> str | None:
        """The address, where the URL has one instead of a name that has to be resolved."""
        if self.host == "localhost" or self.host.endswith(".localhost"):
            return "127.0.0.1"
        try:
            return str(ipaddress.ip_address(self.host))
        except ValueError:
            pass
        try:
            return socket.inet_ntoa(socket.inet_aton(self.host))  # 127.1, 0x7f000001 and so on
        except OSError:
            return None


def target_of(url: str, named: str) -> Target:
    """What a URL leads to. Raises SettingsError, saying `named`, when it is no http:// or https:// URL."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        if _UNFIT.search(url) or parts.scheme not in _DEFAULT_PORTS or not host or port == 0:
            raise ValueError
        if ":" not in host:
            host = host.encode("ascii" if host.isascii() else "idna").decode()
        if len(host) > _LONGEST_HOST:
            raise ValueError
    except ValueError:  # also of what cannot be a port, an address in brackets, or a name
        raise SettingsError(f"{named} must be an http:// or https:// URL with a host and without spaces") from None
    return Target(parts.scheme, host, port or _DEFAULT_PORTS[parts.scheme])


def check_url(url: str, named: str) -> None:
    """Look at a user's webhook without resolving its name. Raises SettingsError."""
    target = target_of(url, named)
    if "@" in urlsplit(url).netloc:
        raise SettingsError(f"{named} holds a user or a password; put a token into its path or query instead")
    address = target.literal
    if address is None and target.port not in _PUBLIC_PORTS and not settings().webhook_networks:
        raise SettingsError(f"{named} cannot be told at port {target.port}: {_REFUSAL}")
    if address is not None and not permitted_to_users(address, target.port):
        raise refused_to_users(named)


def refused_to_users(named: str) -> SettingsError:
    """The refusal of a user's webhook. It does not tell what a name was resolved to."""
    return SettingsError(f"{named} leads to no address that may be told: it is not public, or {_REFUSAL}")


def refused_to_operator(named: str) -> SettingsError:
    """The refusal of the operator's own webhook."""
    return SettingsError(
        f"{named} leads to an address that is not public; set YTRAY_ALERT_WEBHOOK_PRIVATE=true to allow that"
    )


def permitted_to_users(address: str, port: int) -> bool:
    """Whether a user's webhook may lead there: public ones, and those of YTRAY_WEBHOOK_NETWORKS at any port."""
    found = _plain(address)
    if any(found in network for network in _networks(settings().webhook_networks)):
        return True
    return port in _PUBLIC_PORTS and _is_public(found)


def permitted_to_operator(address: str, _port: int) -> bool:
    """Whether the operator's own webhook may lead there, at any port."""
    return settings().alert_webhook_private or _is_public(_plain(address))


def _plain(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An address; of one that stands for an IPv4 address, that one."""
    found = ipaddress.ip_address(address)
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return found.ipv4_mapped
        if found in _EMBEDS_V4 and int(found) > 1:
            return ipaddress.IPv4Address(int(found))
    return found


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return not any(address in block for block in _NOT_PUBLIC) and (address.version == 4 or address in _PUBLIC_V6)


@lru_cache(maxsize=8)
def _networks(given: tuple[str, ...]) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    return [ipaddress.ip_network(network) for network in given]
