"""Delays between tries, as pure functions."""

from __future__ import annotations


def full_jitter(attempt: int, random_unit: float, *, base_s: float = 0.2, cap_s: float = 20.0) -> float:
    """Seconds to wait before try ``attempt + 1`` (``attempt`` >= 0): uniform in [0, min(cap, base * 2^attempt)].

    ``random_unit`` is in [0, 1). Full jitter spreads many nodes best (AWS Architecture Blog, "Exponential backoff and
    jitter"); the caller supplies the random number so that tests are exact.
    """
    return float(min(cap_s, base_s * 2 ** min(attempt, 30)) * random_unit)
