"""Numbers of an ENI's links and routes: what the original fixed, so that a node can be switched over and back."""

from __future__ import annotations

from typing import Final

MAIN_TABLE: Final = 254
MTU_RANGE: Final = (576, 9001)
"""Bytes; IPv4."""


def route_table(device_number: int, network_card: int) -> int:
    """Table of an ENI: primary -> main, card 0 -> device + 1, further cards -> 10000 + 100 * card + device."""
    if network_card > 0:
        return 10000 + 100 * network_card + device_number
    return MAIN_TABLE if device_number == 0 else device_number + 1


def card_of(table: int) -> int:
    """Network card whose ENIs have such tables."""
    return max(0, (table - 10000) // 100)
