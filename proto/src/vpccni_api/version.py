"""One version for the plugin and all services, and the rule of how far apart they may be."""

from __future__ import annotations

from typing import Final

VERSION: Final = "0.1.0"
MAX_MINOR_SKEW: Final = 2


def compatible(ours: str, theirs: str) -> bool:
    """True when two versions work together: same major, minor at most two apart (design: wire compatibility).

    An empty or unreadable ``theirs`` is accepted: a caller from before versions were sent is old, not wrong.
    """
    try:
        our_major, our_minor = (int(part) for part in ours.split(".")[:2])
        their_major, their_minor = (int(part) for part in theirs.split(".")[:2])
    except ValueError:
        return True
    return our_major == their_major and abs(our_minor - their_minor) <= MAX_MINOR_SKEW
