"""``python -m vpccni_chart [--check]``: rewrites, or compares, everything that is generated."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from vpccni_chart import combinations, dashboards, iam, manifest, schema, settings_table

REPO: Final = Path(__file__).resolve().parents[5]


def generated() -> Iterator[tuple[Path, str]]:
    """(file, text) of everything that needs no helm."""
    rows = settings_table.table()
    cases = combinations.combinations()
    defaults = combinations.defaults()
    facts = {
        "settings": rows,
        "combinations": cases,
        "defaults": defaults,
        "chartSets": settings_table.CHART_SETS,
        "free": settings_table.FREE,
    }
    text = json.dumps(facts, indent=1) + "\n"
    yield manifest.CHART / "files/settings.json", text
    yield REPO / "deploy/cli/src/vpccni_cli/data/settings.json", text
    whole = schema.schema(rows, cases, defaults, settings_table.CHART_SETS)
    yield manifest.CHART / "values.schema.json", json.dumps(whole, indent=1) + "\n"
    yield REPO / "docs/iam-policy.md", iam.page()
    for name, board in dashboards.files():
        yield manifest.CHART / "dashboards" / name, board


def rendered() -> Iterator[tuple[Path, str]]:
    """(file, text) of what helm makes; nothing when there is no helm."""
    helm = manifest.find_helm()
    if helm is None:
        sys.stderr.write("no helm: deploy/manifests/aws-k8s-cni.yaml is left as it is\n")
        return
    yield REPO / "deploy/manifests/aws-k8s-cni.yaml", manifest.render(helm)


def main() -> int:
    parser = argparse.ArgumentParser(prog="vpccni_chart", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; status 1 when a file is stale")
    check: bool = parser.parse_args().check
    stale = False
    for source in (generated, rendered):  # in this order: helm reads what the first writes
        for path, text in source():
            if path.exists() and path.read_text() == text:
                continue
            stale = True
            if not check:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            sys.stdout.write(f"{path.relative_to(REPO)}: {'stale' if check else 'written'}\n")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
