"""The operator's choices that several use cases read, as one value."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """``provisioning``: False means that nothing in EC2 is changed. ``imds_only``: EC2 is never asked either."""

    cluster: str = ""
    additional_tags: Mapping[str, str] = dataclasses.field(default_factory=dict)
    manage_untagged: bool = True
    subnet_discovery: bool = True
    provisioning: bool = True
    imds_only: bool = False
    leaked_eni_cleanup: bool = True
    custom_networking: bool = False
    ipv6: bool = False
