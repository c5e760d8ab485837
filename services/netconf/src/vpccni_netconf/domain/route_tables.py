"""Numbers of route tables: what the original uses, so that a node can be switched over and back with its pods running."""

from __future__ import annotations

from typing import Final

MAIN_TABLE: Final = 254
LOCAL_TABLE: Final = 255
RESERVED_TABLES: Final = frozenset({0, 253, MAIN_TABLE, LOCAL_TABLE})
BRANCH_TABLE_BASE: Final = 100
"""Route table of a branch ENI: this plus its VLAN id."""


def route_table(device_number: int, network_card: int) -> int:
    """Table of an ENI: main for the primary, device + 1 on card 0, 10000 + 100 * card + device on others."""
    if network_card == 0:
        return MAIN_TABLE if device_number == 0 else device_number + 1
    return 10000 + 100 * network_card + device_number
