"""``make e2e``: the tests run in the order of their files on one cluster; each is a step with its time in build/e2e.json."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from cluster.cluster import LAB, Cluster, down, leftovers
from cluster.parts import REPO
from cluster.sh import Steps, run

WANTED = "VPCCNI_E2E"
# Of the usual cluster build/e2e.json and build/e2e-logs; one beside it (VPCCNI_E2E_LAB) has files of its own.
STEPS = Steps(REPO / f"build/{LAB}.json")
LOGS = REPO / f"build/{LAB}-logs"
_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Outside of ``make e2e`` these tests are skipped, and say so."""
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            if os.environ.get(WANTED) != "1":
                item.add_marker(pytest.mark.skip(reason="a real cluster: run by `make e2e`"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if _HERE in item.path.parents and call.when == "call" and os.environ.get(WANTED) == "1":
        said = (
            (getattr(getattr(item, "function", None), "__doc__", None) or item.name).strip().splitlines()[0].rstrip(".")
        )
        title = f"{said} [{item.name.partition('[')[2]}" if "[" in item.name else said
        STEPS.record(title, call.duration, report.passed)  # type: ignore[attr-defined]  # pytest gives the report here
        if report.failed:  # type: ignore[attr-defined]
            item.session.stash[FAILED] = True
    return report


FAILED = pytest.StashKey[bool]()


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The one cluster. Everything is removed afterwards, whatever happened; logs are kept when something failed."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):  # also when a shell started this in the background
        signal.signal(number, interrupt)
    down()
    with STEPS.step("images of the services"):
        run(sys.executable, REPO / "deploy/images/build.py", env=dict(os.environ))
    whole = Cluster(STEPS)
    finished = False
    try:
        whole.up()
        yield whole
        finished = True
    finally:
        if not finished or request.session.stash.get(FAILED, False):
            with STEPS.step(f"logs kept in {LOGS.relative_to(REPO)}"):
                whole.keep_logs(LOGS)
        with STEPS.step("everything is removed"):
            whole.close()
            left = leftovers(whole.sysctls)
            assert not left, f"left behind: {left}"
