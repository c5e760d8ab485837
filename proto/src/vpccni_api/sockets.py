"""Where the parts meet: socket paths, ports and files, in one place (docs/architecture.md, "Sockets, ports, files").

Each can be moved by an environment variable of the same name with the prefix ``VPCCNI_`` (the lab runs several nodes on
one machine); the defaults are what the Helm chart and the conflist use.
"""

from __future__ import annotations

from typing import Final

IPAM_SOCKET: Final = "/var/run/aws-node/ipam.sock"
NETCONF_SOCKET: Final = "/run/vpccni/netconf.sock"
ENI_MANAGER_SOCKET: Final = "/run/vpccni/eni-manager.sock"

IPAM_HEALTH_PORT: Final = 61680
NETCONF_HEALTH_PORT: Final = 61681
ENI_MANAGER_HEALTH_PORT: Final = 61682

IPAM_METRICS_PORT: Final = 61678
NETCONF_METRICS_PORT: Final = 61683
ENI_MANAGER_METRICS_PORT: Final = 61684
INTROSPECTION_ADDRESS: Final = "127.0.0.1:61679"

CHECKPOINT: Final = "/var/run/aws-node/ipam.json"
PENDING_DEL_DIR: Final = "/var/run/aws-node/pending-del"

REASON_TRAILER: Final = "vpccni-reason"
ORIGIN_TRAILER: Final = "vpccni-origin"
DETAIL_TRAILER: Final = "vpccni-detail"
"""Once for each of ReasonError.details."""
"""ASCII trailing metadata of a failed call: the Reason's name, and the service where it happened."""
