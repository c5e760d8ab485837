"""How many addresses the node should hold (docs/pool.md, "Targets"). Formulas of the original, with two differences made
on purpose: cooling addresses are not supply, and the demand of ADDs that wait is added.
"""

from __future__ import annotations

import dataclasses
from typing import Final

from vpccni_ipam.domain.model import AddressMode, InstanceLimits
from vpccni_ipam.domain.stock import Supply as Supply

PREFIX_SIZE: Final = 16
"""Addresses of an IPv4 /28 prefix."""


MOST_PODS: Final = 250
"""What kubelet is recommended to run at most on any node with prefixes."""


def pods_by_formula(limits: InstanceLimits, enis: int, *, prefixes: bool) -> int:
    """Pods that ``enis`` ENIs of this instance type have addresses for (``Slots.pod_enis``); and 2 on the host network (the
    original's max-pods table)."""
    slots = enis * limits.slots_per_eni
    return min(slots * PREFIX_SIZE + 2, MOST_PODS) if prefixes else slots + 2


@dataclasses.dataclass(frozen=True, slots=True)
class Targets:
    """The WARM_* and MINIMUM_IP_TARGET settings; 0 is "not set" for all but ``warm_eni``. ``max_pods`` 0: no cap.

    ``ipv6``: one /80 prefix serves every pod that a node can run; the warm targets do not apply.
    """

    warm_eni: int = 1
    warm_ip: int = 0
    minimum_ip: int = 0
    warm_prefix: int = 0
    prefixes: bool = False
    max_pods: int = 0
    ipv6: bool = False

    @property
    def by_address(self) -> bool:
        """WARM_IP_TARGET or MINIMUM_IP_TARGET is set: they overrule the ENI and prefix targets."""
        return self.warm_ip > 0 or self.minimum_ip > 0

    @property
    def mode(self) -> AddressMode:
        if self.ipv6:
            return AddressMode.PREFIX_IPV6
        return AddressMode.PREFIX_IPV4 if self.prefixes else AddressMode.SECONDARY_IP


def on_further_card(targets: Targets) -> Targets:
    """Targets of the network cards other than 0: one address at hand, whatever the WARM_* settings say (as the original)."""
    return dataclasses.replace(targets, warm_eni=0, warm_ip=1, minimum_ip=1, warm_prefix=0)


def in_effect(targets: Targets, *, singles_stand_in: bool) -> Targets:
    """The targets while no prefix is to be had: as many single addresses as the prefixes would have had."""
    if not singles_stand_in or targets.ipv6 or not targets.prefixes:
        return targets
    warm_ip = targets.warm_ip if targets.by_address else max(targets.warm_prefix * PREFIX_SIZE, 1)
    return dataclasses.replace(targets, prefixes=False, warm_ip=warm_ip)


STAND_IN_MOST_S: Final = 4 * 3600.0
"""After that prefixes are tried again in any case. A try costs two EC2 calls: a node at rest stays within two calls per hour."""


def stand_in_s(failures: int) -> float:
    """Seconds in which single addresses stand in also when the pool has to grow, after ``failures`` (0 or more) earlier tries to
    get a prefix."""
    return min(60.0 * 2.0 ** min(failures, 16), STAND_IN_MOST_S)


def _ceil_div(number: int, by: int) -> int:
    return -(-number // by)


def short_addresses(targets: Targets, supply: Supply) -> int:
    """Addresses missing to WARM_IP_TARGET and MINIMUM_IP_TARGET, or to the waiting ADDs."""
    missing = targets.warm_ip - supply.available
    return max(missing, targets.minimum_ip - supply.total, 0) if targets.by_address else max(-supply.available, 0)


def over_addresses(targets: Targets, supply: Supply) -> int:
    """Addresses that both address targets can spare."""
    if not targets.by_address:
        return 0
    return max(0, min(supply.available - targets.warm_ip, supply.total - targets.minimum_ip))


def short_prefixes(targets: Targets, supply: Supply) -> int:
    """Prefixes missing."""
    if targets.by_address:
        return _ceil_div(short_addresses(targets, supply), PREFIX_SIZE)
    demand = _ceil_div(max(0, -supply.available), PREFIX_SIZE)
    return max(targets.warm_prefix - supply.free_prefixes, 0) + demand


def over_prefixes(targets: Targets, supply: Supply) -> int:
    """Whole free prefixes that can be spared."""
    if targets.ipv6:
        return 0
    if not targets.by_address:
        return max(supply.free_prefixes - targets.warm_prefix, 0) if supply.waiting == 0 else 0
    in_use = supply.assigned + supply.cooling - supply.singles_in_use + supply.waiting
    return max(
        0,
        min(
            supply.free_prefixes,
            supply.prefixes - _ceil_div(in_use + targets.warm_ip, PREFIX_SIZE),
            supply.prefixes - _ceil_div(targets.minimum_ip, PREFIX_SIZE),
        ),
    )


def is_low(targets: Targets, supply: Supply, limits: InstanceLimits) -> bool:
    """True when the pool should grow (if it can)."""
    if targets.ipv6:
        return supply.prefixes == 0
    if targets.max_pods and supply.total >= targets.max_pods:
        return False
    if targets.by_address:
        return short_addresses(targets, supply) > 0
    wanted = targets.warm_prefix * PREFIX_SIZE if targets.prefixes else targets.warm_eni * limits.slots_per_eni
    return supply.available < wanted or (wanted == 0 and supply.available <= 0)


def is_high(targets: Targets, supply: Supply) -> bool:
    """True when addresses or prefixes can be given back. Without address targets secondary IPs never are (whole ENIs are)."""
    if targets.prefixes:
        return over_prefixes(targets, supply) > 0
    return over_addresses(targets, supply) > 0


def spare_eni(targets: Targets, supply: Supply, limits: InstanceLimits, *, empty_secondary: bool) -> bool:
    """True when a whole ENI may be looked at for release. ``empty_secondary``: there is a non-primary ENI without pods."""
    if targets.ipv6:
        return False
    if targets.by_address:
        return True
    if targets.prefixes:
        per_eni = limits.slots_per_eni * PREFIX_SIZE
        return supply.available >= (targets.warm_prefix + 1) * per_eni or empty_secondary
    return supply.available >= (targets.warm_eni + 1) * limits.slots_per_eni


def deficit(targets: Targets, supply: Supply, limits: InstanceLimits) -> int:
    """For people: addresses short of the target; negative: over it. IPv6: prefixes short."""
    if targets.ipv6:
        return 1 if supply.prefixes == 0 else 0
    if targets.by_address:
        return short_addresses(targets, supply) or -over_addresses(targets, supply)
    if targets.prefixes:
        low = max(targets.warm_prefix * PREFIX_SIZE, 1) - supply.available
        return low if low > 0 else -over_prefixes(targets, supply) * PREFIX_SIZE
    low = max(targets.warm_eni * limits.slots_per_eni, 1) - supply.available
    if low > 0:
        return low
    return min(0, (targets.warm_eni + 1) * limits.slots_per_eni - 1 - supply.available)
