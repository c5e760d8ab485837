"""Forgets an ENI that was freed: its rules go; its table empties itself with the device."""

from __future__ import annotations

from vpccni_netconf.desired import Desired
from vpccni_netconf.domain.names import family_of, host_cidr
from vpccni_netconf.domain.ops import Remove
from vpccni_netconf.ports import Kernel, Query


def remove_eni(kernel: Kernel, desired: Desired, eni_id: str, primary_ip: str) -> int:
    """Removes every rule whose source is the ENI's primary address, at any priority. Unknown ENI or no address: 0."""
    held = desired.enis.pop(eni_id, None)
    address = primary_ip or (held.spec.primary_ip if held else "")
    if not address:
        return 0
    own = host_cidr(address)
    rules = kernel.host.observe(Query((family_of(address),), links=False, rules=True)).rules
    return kernel.host.apply([Remove(rule) for rule in rules if rule.src == own])
