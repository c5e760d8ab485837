"""``vpccni status`` and ``explain pod`` on a node with 250 pods: how long they take, and that nothing wraps."""

from __future__ import annotations

import dataclasses
import os
import resource
import sys
import time
from collections.abc import Callable

import pytest
from vpccni_cli.text import WIDTH
from vpccni_lab.client import LabClient
from vpccni_lab.runtime import pods as podlib
from vpccni_lab.runtime.pods import Pod
from vpccni_lab.spec import NodeSpec, SubnetSpec

from .conftest import FAST

pytestmark = [pytest.mark.lab, pytest.mark.slow]
_PODS = 250
_RUNS = 9
_LIMIT_S = 0.3


@pytest.fixture(scope="module")
def lab(make_lab: Callable[..., LabClient]) -> LabClient:
    env = {**FAST, "ENABLE_PREFIX_DELEGATION": "true", "WARM_PREFIX_TARGET": "1", "VPCCNI_MAX_PODS": "260"}
    return make_lab(subnets=(SubnetSpec("big", "10.0.0.0/20"),), nodes=(NodeSpec("node-a", "big"),), env=env)


@dataclasses.dataclass(frozen=True)
class Run:
    """``cpu_s``: user and system time of the command's process."""

    wall_s: float
    cpu_s: float
    text: str


def timed(lab: LabClient, *words: str) -> Run:
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = lab.node("node-a").run([sys.executable, "-m", "vpccni_cli", *words], timeout=60)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (done.returncode, done.stderr) == (0, ""), done
    return Run(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout)


def test_answers_on_a_node_with_250_pods(lab: LabClient) -> None:
    """The wall time counts on a machine that has a CPU to spare; the CPU time always does."""
    with lab.pods("node-a") as pods:
        started = pods.run([podlib.new_pod("node-a", f"cl-{number}") for number in range(_PODS)])
        failed = [one for one in started if not isinstance(one, Pod)]
        assert not failed, failed[:3]
        last = started[-1]
        assert isinstance(last, Pod)
        for words in (("status",), ("explain", "pod", f"{last.namespace}/{last.name}")):
            runs = [timed(lab, *words) for _ in range(_RUNS)]
            wall, cpu = min(one.wall_s for one in runs), min(one.cpu_s for one in runs)
            load = os.getloadavg()[0]
            text = runs[0].text
            print(
                f"vpccni {' '.join(words)}, {_PODS} pods: {wall:.3f} s, CPU {cpu:.3f} s (fastest of {_RUNS}; load {load:.1f})"
            )
            print(text)
            assert max(map(len, text.splitlines())) <= WIDTH
            assert cpu < _LIMIT_S
            assert wall < _LIMIT_S or load > (os.cpu_count() or 1)
        assert f"{_PODS} assigned" in timed(lab, "status").text
