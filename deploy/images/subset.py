"""The part of requirements.txt (pins and hashes) that one image needs, from the members' pyproject.toml files.

Everything is read from the checkout and from the metadata of the installed environment: no package index is asked.
``python deploy/images/subset.py`` rewrites deploy/images/requirements/; ``--check`` only says which file is stale.
"""

# ruff: noqa: T201 -- a command-line tool
from __future__ import annotations

import argparse
import importlib.metadata
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPO: Final = Path(__file__).resolve().parents[2]
TARGET: Final = REPO / "deploy/images/requirements"

MEMBERS: Final = {
    "vpccni-api": "proto",
    "vpccni-kit": "services/kit",
    "vpccni-ipam": "services/ipam",
    "vpccni-netconf": "services/netconf",
    "vpccni-eni-manager": "services/eni-manager",
    "vpccni-metrics-helper": "services/metrics-helper",
    "vpccni-cli": "deploy/cli",
}
IMAGES: Final = {
    "eni-manager": ("vpccni-eni-manager",),
    "ipam": ("vpccni-ipam", "vpccni-cli"),
    "netconf": ("vpccni-netconf",),
    "metrics-helper": ("vpccni-metrics-helper",),
}


def pins(text: str) -> dict[str, str]:
    """Canonical name -> its whole entry (pin, marker, hashes) of a hashed requirements file."""
    entries: dict[str, str] = {}
    for block in text.replace("\\\n", "\\\0").splitlines():
        if block.strip() and not block.startswith("#"):
            name = canonicalize_name(Requirement(block.split("\\")[0].strip()).name)
            entries[name] = block.replace("\\\0", "\\\n")
    return entries


def needs(dist: str) -> Iterator[Requirement]:
    """What one of our members declares."""
    with (REPO / MEMBERS[dist] / "pyproject.toml").open("rb") as file:
        yield from map(Requirement, tomllib.load(file)["project"]["dependencies"])


def installed_needs(requirement: Requirement) -> Iterator[Requirement]:
    """What a third-party distribution of the environment asks for, with the extras that were asked of it."""
    for line in importlib.metadata.requires(requirement.name) or ():
        found = Requirement(line)
        if found.marker is None or any(found.marker.evaluate({"extra": extra}) for extra in ("", *requirement.extras)):
            yield found


def closure(*dists: str) -> set[str]:
    """Canonical names of every third-party distribution that ``dists`` need at run time."""
    third_party: set[str] = set()
    seen: set[tuple[str, frozenset[str]]] = set()
    queue = [requirement for dist in dists for requirement in needs(dist)]
    while queue:
        requirement = queue.pop()
        name = canonicalize_name(requirement.name)
        key = (name, frozenset(requirement.extras))
        if key in seen:
            continue
        seen.add(key)
        if name in MEMBERS:
            queue.extend(needs(name))
        else:
            third_party.add(name)
            queue.extend(installed_needs(requirement))
    return third_party


def render(names: Iterable[str], pinned: dict[str, str]) -> str:
    """Raises KeyError naming a distribution that requirements.txt does not pin."""
    return "".join(f"{pinned[name]}\n" for name in sorted(names))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; status 1 when a file is stale")
    check: bool = parser.parse_args().check
    pinned = pins((REPO / "requirements.txt").read_text())
    stale = []
    for image, dists in IMAGES.items():
        path = TARGET / f"{image}.txt"
        wanted = render(closure(*dists), pinned)
        if not path.exists() or path.read_text() != wanted:
            stale.append(str(path.relative_to(REPO)))
            if not check:
                path.parent.mkdir(exist_ok=True)
                path.write_text(wanted)
    for name in stale:
        print(f"{name}: {'stale, run python deploy/images/subset.py' if check else 'written'}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
