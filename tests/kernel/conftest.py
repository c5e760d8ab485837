"""A node in namespaces of its own, and netconf's adapters in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from netconf_node import Node
from vpccni_netconf.adapters.kernel import LinuxKernel


@pytest.fixture
def node() -> Iterator[Node]:
    with Node() as made:
        made.attach_second()
        yield made


@pytest.fixture
def kernel(node: Node) -> Iterator[LinuxKernel]:
    """Its sockets are in the node; only sysctls and names are of the thread that calls."""
    made = node.run(LinuxKernel)
    yield made
    made.close()
