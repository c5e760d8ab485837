"""What the use case needs of the outside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from vpccni_metrics_helper.domain.aggregate import Pull


class Cluster(Protocol):
    """The nodes' metrics."""

    def pull(self) -> Pull:
        """One round over all aws-node pods. Raises ReasonError(KUBERNETES_UNREACHABLE) when they cannot be listed."""


class CloudWatch(Protocol):
    """Where numbers are sent."""

    def put(self, values: Mapping[str, float]) -> None:
        """Raises ReasonError(IAM_DENIED, EC2_UNREACHABLE)."""
