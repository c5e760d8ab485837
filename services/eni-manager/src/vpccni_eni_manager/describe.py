"""Who we are and what the instance type holds. Served without EC2 whenever the limits are known from before."""

from __future__ import annotations

import logging

from vpccni_api.reasons import ReasonError
from vpccni_kit.clock import Clock

from vpccni_eni_manager.domain import limits as rules
from vpccni_eni_manager.domain.model import InstanceLimits, Node
from vpccni_eni_manager.inventory import Inventories
from vpccni_eni_manager.policy import Policy
from vpccni_eni_manager.ports import Ec2, LimitsCache

log = logging.getLogger(__name__)
_ASK_S = 5.0
_ASK_AGAIN_S = 300.0


class Describe:
    """EC2 first (asked once in the node's life: the answer is cached on disk), the shipped table as the last resort.

    An unknown type is never fatal: it gets a small default, and EC2 is asked again every five minutes.
    """

    def __init__(self, ec2: Ec2, cache: LimitsCache, inventories: Inventories, policy: Policy, clock: Clock) -> None:
        self._ec2 = ec2
        self._cache = cache
        self._inventories = inventories
        self._policy = policy
        self._clock = clock
        self._limits: InstanceLimits | None = None
        self._ask_after = 0.0

    async def __call__(self, deadline: float) -> tuple[Node, InstanceLimits]:
        """Raises ReasonError(IMDS_UNREACHABLE)."""
        node = await self._inventories.node(fresh=True)
        return node, await self.limits(node.instance_type, deadline)

    async def limits(self, instance_type: str, deadline: float) -> InstanceLimits:
        """Never raises: at worst a default."""
        now = self._clock.monotonic()
        settled = self._limits is not None and (self._limits.source in ("ec2", "cache") or now < self._ask_after)
        if self._limits is None or not settled:
            self._limits = await self._find(instance_type, min(deadline, now + _ASK_S))
            self._ask_after = now + _ASK_AGAIN_S
        return self._limits

    async def _find(self, instance_type: str, deadline: float) -> InstanceLimits:
        if known := self._cache.cached(instance_type):
            return known
        if not self._policy.imds_only:
            try:
                if found := await self._ec2.instance_limits(instance_type, deadline):
                    self._cache.remember(instance_type, found)
                    return found
                log.warning("EC2 has no usable limits for %s", instance_type)
            except ReasonError as error:
                log.warning("limits of %s not from EC2: %s", instance_type, error, extra={"reason": str(error.reason)})
        if shipped := self._cache.shipped(instance_type):
            return shipped
        log.error("instance type %s is unknown: assuming %s", instance_type, rules.DEFAULT)
        return rules.DEFAULT
