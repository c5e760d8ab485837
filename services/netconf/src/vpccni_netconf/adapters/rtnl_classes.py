"""pyroute2's message classes, without the rest of pyroute2.

`import pyroute2.netlink…` runs the package's __init__, which imports its database, 9p, nftables and more: 19 MB and half a
second that this service has no use for. So the package is entered by a bare module with the same path while the five
message modules load, and taken out again: a later plain `import pyroute2` finds everything as usual.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from typing import Any


def _load(*names: str) -> list[Any]:
    bare = None
    if "pyroute2" not in sys.modules:
        spec = importlib.util.find_spec("pyroute2")
        if spec is None or spec.submodule_search_locations is None:
            raise ModuleNotFoundError("pyroute2 is not installed")
        bare = types.ModuleType("pyroute2")
        bare.__path__ = list(spec.submodule_search_locations)
        bare.__spec__ = spec
        sys.modules["pyroute2"] = bare
    try:
        return [importlib.import_module(f"pyroute2.netlink.{name}") for name in names]
    finally:
        if bare is not None and sys.modules.get("pyroute2") is bare:
            del sys.modules["pyroute2"]


_link, _route, _rule, _address, _neighbour = _load(
    "rtnl.ifinfmsg", "rtnl.rtmsg", "rtnl.fibmsg", "rtnl.ifaddrmsg", "rtnl.ndmsg"
)
LinkMessage: Any = _link.ifinfmsg
RouteMessage: Any = _route.rtmsg
RuleMessage: Any = _rule.fibmsg
AddressMessage: Any = _address.ifaddrmsg
NeighbourMessage: Any = _neighbour.ndmsg
