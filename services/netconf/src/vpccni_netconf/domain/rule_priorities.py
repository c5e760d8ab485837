"""Priorities of our ip rules: what the original uses, so that a node can be switched over and back with its pods running."""

from __future__ import annotations

from typing import Final

BRANCH_IIF: Final = 10
"""Strict branch ENI pods: from the VLAN link or the host link into the branch's table."""
LOCAL_MOVED: Final = 20
"""The local table's rule once strict mode moved it behind BRANCH_IIF (else priority 0)."""
TO_POD: Final = 512
HOST: Final = 1024
"""Marked connections (NodePort, and what is to be source-translated) leave by the primary ENI."""
EXTERNAL_SERVICE: Final = 1535
FROM_POD: Final = 1536
FROM_ENI: Final = 32765
MAIN_RULE: Final = 32766
"""The kernel's own look-up of the main table."""
