"""Every kind of kernel object that netconf owns, from the types of its own model: a new kind without a test is missed nowhere."""

from __future__ import annotations

import typing

from vpccni_netconf.domain import objects

KINDS: typing.Final = frozenset(kind.__name__ for kind in typing.get_args(objects.Object))
"""Names of the types of ``domain/objects.py``."""
FILTER_KINDS: typing.Final = frozenset({"chain", "set"})
"""What the packet filter is made of, as drift events name it."""
