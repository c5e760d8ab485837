"""docs/configuration.md says what the code does: every variable has a row, and every row is the declaration's."""

from __future__ import annotations

import importlib.util
import pkgutil
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import vpccni_eni_manager
import vpccni_install
import vpccni_ipam
import vpccni_metrics_helper
import vpccni_netconf
from vpccni_kit.settings import Setting, read

REPO = Path(__file__).parents[3]
PAGE = (REPO / "docs/configuration.md").read_text(encoding="utf-8")

# The variables of the original's README at the point where this product was started from it.
_README = """
AWS_VPC_CNI_NODE_PORT_SUPPORT AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG ENI_CONFIG_ANNOTATION_DEF ENI_CONFIG_LABEL_DEF AWS_VPC_ENI_MTU
AWS_VPC_K8S_CNI_EXTERNALSNAT AWS_VPC_K8S_CNI_RANDOMIZESNAT AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS WARM_ENI_TARGET WARM_IP_TARGET
MINIMUM_IP_TARGET MAX_ENI AWS_VPC_K8S_CNI_LOGLEVEL AWS_VPC_K8S_CNI_LOG_FILE AWS_VPC_K8S_PLUGIN_LOG_FILE
AWS_VPC_K8S_PLUGIN_LOG_LEVEL INTROSPECTION_BIND_ADDRESS DISABLE_INTROSPECTION DISABLE_METRICS AWS_VPC_K8S_CNI_VETHPREFIX
ADDITIONAL_ENI_TAGS AWS_VPC_K8S_CNI_CONFIGURE_RPFILTER CLUSTER_NAME CLUSTER_ENDPOINT ENABLE_POD_ENI
POD_SECURITY_GROUP_ENFORCING_MODE DISABLE_TCP_EARLY_DEMUX ENABLE_PREFIX_DELEGATION WARM_PREFIX_TARGET
DISABLE_NETWORK_RESOURCE_PROVISIONING ENABLE_BANDWIDTH_PLUGIN ANNOTATE_POD_IP ENABLE_IPv4 ENABLE_IPv6
"""
SEED = _README.split()


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", REPO / "docs/generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["docs_generate"] = module
    spec.loader.exec_module(module)
    return module


generate = _generator()


def declared() -> dict[str, Setting[Any]]:
    """Every Setting in any settings module of a container, whether or not the generator knows the module."""
    found: dict[str, Setting[Any]] = {}
    for package in (vpccni_ipam, vpccni_eni_manager, vpccni_netconf, vpccni_install, vpccni_metrics_helper):
        for info in pkgutil.iter_modules(package.__path__):
            if info.name.endswith("settings"):
                module = importlib.import_module(f"{package.__name__}.{info.name}")
                for value in vars(module).values():
                    if isinstance(value, Setting):
                        found.setdefault(value.name, value)
    return found


def row(name: str) -> list[str]:
    lines = [line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |")]
    assert len(lines) == 1, f"{name} has {len(lines)} rows"
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", lines[0])[1:-1]]


@pytest.mark.parametrize("name", generate.PAGES)
def test_pages_are_current(name: str) -> None:
    text = (REPO / "docs" / name).read_text(encoding="utf-8")
    assert text == generate.PAGES[name](), "run: .venv/bin/python docs/generate.py"


@pytest.mark.parametrize("name", SEED)
def test_every_variable_of_the_seed_has_a_full_row(name: str) -> None:
    cells = row(name)
    assert len(cells) == 7 and all(cells), cells


@pytest.mark.parametrize("name", sorted(declared()))
def test_rows_say_what_the_code_does(name: str) -> None:
    setting, cells = declared()[name], row(name)
    shown = cells[2].strip("`")
    if " (" not in shown and shown != "empty":
        # What the page calls the default has the effect of not setting the variable.
        values = read([setting], {name: shown})
        assert not values.bad or not setting.default
        assert values[setting] == setting.default
    assert set(cells[6].split(", ")) == {reader.name for reader in generate.READERS if name in _names(reader)}


def _names(reader: Any) -> set[str]:
    return {setting.name for setting in reader.settings}


def test_nothing_is_read_that_the_page_does_not_name() -> None:
    """Variables that code reads past the declarations."""
    reads = re.compile(r"environ(?:\.get\(|\[)\s*b?\"([A-Z][A-Za-z0-9_]+)\"")
    sources = [*REPO.glob("services/*/src/**/*.py"), *REPO.glob("deploy/install/src/**/*.py")]
    found = {name: path for path in sources for name in reads.findall(path.read_text(encoding="utf-8"))}
    assert len(sources) > 100 and "KUBERNETES_SERVICE_HOST" in found
    assert not {name: path.name for name, path in found.items() if f"`{name}`" not in PAGE}
