"""tests/wire/ipam_harness.py under one name for the test files of every tier: one module, however many of them use it."""

from __future__ import annotations

import importlib.util
import pathlib
import sys
from typing import Any

_path = pathlib.Path(__file__).parents[1] / "wire/ipam_harness.py"
_spec = importlib.util.spec_from_file_location("ipam_harness", _path)
assert _spec is not None and _spec.loader is not None
harness: Any = sys.modules.setdefault("ipam_harness", importlib.util.module_from_spec(_spec))
if not hasattr(harness, "World"):
    _spec.loader.exec_module(harness)
World, run, until = harness.World, harness.run, harness.until
