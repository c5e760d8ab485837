"""The plugin may import what its binary has, and nothing else (docs/plugin.md)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCES = Path(__file__).resolve().parents[3] / "plugin" / "src" / "vpccni_plugin"
MODULES = sorted(path for path in SOURCES.glob("*.py") if not path.stem.startswith("__"))
BUILT_IN = {"posix", "_socket", "time"}


def runtime_imports(body: list[ast.stmt]) -> list[ast.Import | ast.ImportFrom]:
    """All import statements but those below ``if TYPE_CHECKING``."""
    found: list[ast.Import | ast.ImportFrom] = []
    for node in body:
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found.append(node)
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.stmt):
                found += runtime_imports([child])
    return found


@pytest.mark.parametrize("path", MODULES, ids=[path.stem for path in MODULES])
def test_imports(path: Path) -> None:
    for node in runtime_imports(ast.parse(path.read_text()).body):
        if isinstance(node, ast.Import):
            assert {alias.name for alias in node.names} <= BUILT_IN
        else:
            name = node.module or ""
            inside = name.startswith("vpccni_plugin.") and (SOURCES / f"{name.split('.')[1]}.py").exists()
            assert node.level == 0
            assert name == "__future__" or inside, f"{path.name} imports {name}"


def test_there_is_something_to_check() -> None:
    assert {"main", "verbs", "grpc_call", "http2", "hpack", "jsonlite", "request"} <= {path.stem for path in MODULES}


def test_modules_import_without_the_third_party_world() -> None:
    """Under an interpreter that has no site-packages: what the binary does, without building it."""
    import subprocess
    import sys

    code = f"import sys; sys.path.insert(0, {str(SOURCES.parent)!r}); import vpccni_plugin.main; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    loaded = ast.literal_eval(done.stdout)
    for heavy in ("socket", "json", "re", "enum", "typing", "dataclasses", "logging", "grpc", "google", "contextlib"):
        assert heavy not in loaded
