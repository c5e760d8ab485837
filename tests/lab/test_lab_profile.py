"""``make profile`` on a lab: every step of real ADDs and DELs is found, and the kernel's part is less than the whole."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from vpccni_lab.profile.run import profile

pytestmark = [pytest.mark.lab, pytest.mark.slow]


def test_steps_of_real_calls(lab_name: Callable[[], str]) -> None:
    report = profile(lab_name(), 5, lambda text: None)
    for verb, count in (("ADD", 11), ("DEL", 8)):
        steps = report[verb]["steps"]
        assert len([step for step in steps if not step["beside"]]) == count
        # a clock that is set back meanwhile would make pieces negative
        assert all(step["milliseconds"] >= 0 for step in steps), steps
        (kernel,) = (step["milliseconds"] for step in steps if "system calls" in step["name"])
        assert 0 < kernel < report[verb]["ms_traced"]
        assert set(report[verb]["cpu_ms"]) == {"plugin", "ipam", "netconf", "eni-manager"}
