"""Who has which address in a site. All of them exist only inside the cluster's own network namespaces."""

from __future__ import annotations

from dataclasses import dataclass

SITE = "10.89.0.1"
SITE_BITS = 24
PODS = "10.88.0.0/16"
SERVICES = "10.96.0.0/16"
DNS_SERVICE = "10.96.0.10"
DNS_DOMAIN = "cluster.local"


@dataclass(frozen=True)
class NodeIdentity:
    """The name and the addresses of the real node with this index, from 0."""

    index: int

    @property
    def name(self) -> str:
        return f"real-{self.index}"

    @property
    def address(self) -> str:
        return f"10.89.0.{10 + self.index}"

    @property
    def pods(self) -> str:
        return f"10.88.{self.index}.0/24"
