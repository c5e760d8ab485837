"""Runs the whole table, mode by mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from vpccni_api.reasons import ReasonError

from vpccni_lab.client import LabClient
from vpccni_lab.datapath import chained, labs
from vpccni_lab.datapath.labs import Mode
from vpccni_lab.datapath.observe import Observed, observe
from vpccni_lab.datapath.rows import SETTINGS, SETTINGS6, Setting, port_rows, rows

Progress = Callable[[str], None]


def settings_of(mode: Mode) -> tuple[Setting, ...]:
    """The settings that make a difference in a mode: nothing is translated with IPv6."""
    return SETTINGS6 if mode.six else SETTINGS


def run(mode: Mode, name: str, progress: Progress) -> Iterator[list[Observed]]:
    """The rows of one mode, setting by setting. A mode that does not come up is one row that differs."""
    try:
        with labs.lab_of(mode, name, progress) as lab:
            for number, setting in enumerate(settings_of(mode)):
                if number:
                    labs.apply(lab, setting)
                yield _observe(lab, mode, setting, progress)
            if not mode.six:
                yield chained.rows(lab, mode.name)
    except ReasonError as exc:
        cause = str(exc).strip().splitlines()
        yield [Observed(mode.name, "-", "-", "nodes and pods come up", "up", f"{cause[0]} … {cause[-1]}", False, 0)]


def _observe(lab: LabClient, mode: Mode, setting: Setting, progress: Progress) -> list[Observed]:
    make = rows if setting.paths else port_rows
    plans = [(backend, plan) for backend, place in labs.places(lab, mode) for plan in make(place, setting)]
    found = observe(mode.name, setting.name, [(backend, plan) for backend, plan in plans if plan.questions])
    differ = sum(not row.ok for row in found)
    progress(f"{mode.name}, {setting.name}: {len(found)} rows" + (f", {differ} differ" if differ else ""))
    return found
