"""Every command of README.md and docs/ is one that works: parsed by the program itself, or run where it only reads.

What a lab or a cluster is needed for is parsed here and run elsewhere: the commands of docs/lab.md in their order by
tests/lab/test_docs_lab.py, those of docs/install.md and docs/operations.md by tests/e2e.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import botocore.session
import pytest
from doc_commands import REPO, Command, commands
from vpccni_chart import manifest
from vpccni_cli import main as vpccni
from vpccni_lab.cli import main as vpclab

KUBECTL: Final = Path(os.environ.get("VPCCNI_CACHE") or Path.home() / ".cache/vpccni") / "bin/kubectl"
NOT_COMMANDS: Final = {
    "docs/datapath.md: ip aws-cni": "name of an nft table",
    "docs/lab.md: vpclab fault set KIND FIELD=VALUE…": "a form; vpclab parses FIELD=VALUE by its own rules",
    'docs/lab.md: eval "$(vpclab env)"': "vpclab env is parsed by itself",
    "docs/lab.md: ip netns exec vpclab-demo-vpc tcpdump -ni any": "needs tcpdump and never ends",
    "docs/runbooks/VpcCniDriftFight.md: ip monitor rule route": "never ends",
    "docs/reasons.md: ip link": "run by every kernel test",
    "README.md: kill -9": "names what is survived",
}
"""What is not tried, and why."""
MODULES_ELSEWHERE: Final = {"cluster": "tests/e2e/cluster/__main__.py", "vpccni_plugin": "plugin/src/vpccni_plugin"}
"""``python -m`` with a path of its own (PYTHONPATH in the text)."""


def make(words: list[str]) -> None:
    for target in words[1:]:
        done = subprocess.run(["make", "-n", target], cwd=REPO, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def parsed(parse: Callable[[], object]) -> None:
    """argparse exits when it does not know a word."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            parse()
    except SystemExit as end:
        assert end.code == 0, said.getvalue()


def ask_vpclab(words: list[str]) -> None:
    numbers = [re.sub(r"^POD$", "pod-1", word) for word in words[1:]]
    parsed(lambda: vpclab.parser().parse_args(numbers))


def ask_vpccni(words: list[str]) -> None:
    parsed(lambda: vpccni.parser(words[1] if len(words) > 1 else "").parse_args(words[1:] or ["--help"]))


def kubectl_plugin(words: list[str]) -> None:
    """deploy/cli/kubectl-vpccni says that it has the command and the options."""
    done = subprocess.run(
        [str(REPO / "deploy/cli/kubectl-vpccni"), "--help"], capture_output=True, text=True, check=True
    )
    command = next(word for at, word in enumerate(words) if not word.startswith("-") and words[at - 1] != "--node")
    assert re.search(rf"^  .*\b{re.escape(command)}\b", done.stdout, re.M), command
    for word in words:
        assert not word.startswith("-") or word in done.stdout, word


def kubectl(words: list[str]) -> None:
    """The subcommand exists and has the options; what runs in the container is a command of ours."""
    if words[1] == "vpccni":
        kubectl_plugin(words[2:])
        return
    if "--" in words:
        at = words.index("--")
        inside = words[at + 1 :]
        TRY[inside[0]](inside)
        words = words[:at]
    if not KUBECTL.exists():
        pytest.skip("kubectl is not here (make e2e fetches it)")
    plain = _without_global(words[1:])
    depth = 2 if plain[0] in ("rollout", "set") else 1
    said = subprocess.run([str(KUBECTL), *plain[:depth], "--help"], capture_output=True, text=True, check=False)
    assert said.returncode == 0 and "Usage:" in said.stdout, said.stderr
    _has_options(plain[depth:], said.stdout)


def helm(words: list[str]) -> None:
    program = manifest.find_helm("helm4") or manifest.find_helm()
    if program is None:
        pytest.skip("helm is not here (make e2e builds it)")
    plain = _without_global(words[1:])
    said = subprocess.run([program, plain[0], "--help"], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    _has_options(plain[1:], said.stdout)
    charts = [word for word in plain if word.startswith("deploy/helm/")]
    if charts:
        settings = [word for at, word in enumerate(plain) if at and plain[at - 1] == "--set"]
        given = [part for value in settings for part in ("--set", value)]
        done = subprocess.run([program, "template", "x", *charts, *given], cwd=REPO, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def _without_global(words: list[str]) -> list[str]:
    """Without the namespace, which may stand anywhere."""
    return [word for at, word in enumerate(words) if word != "-n" and (not at or words[at - 1] != "-n")]


def _has_options(words: list[str], usage: str) -> None:
    for word in words:
        if word.startswith("-"):
            name = re.escape(word.partition("=")[0])
            assert re.search(rf"(^|[\s,]){name}([\s,=]|$)", usage, re.M), f"no option {word}"


def aws(words: list[str]) -> None:
    """The operation exists, with these parameters, as the AWS CLI spells them."""
    model = botocore.session.get_session().get_service_model(words[1])
    names = {_spelt(name): name for name in model.operation_names}
    assert words[2] in names, words[2]
    shape = model.operation_model(names[words[2]]).input_shape
    known = {_spelt(name) for name in (shape.members if shape else {})} | {"query", "output"}
    singular = {name.removesuffix("s") for name in known}
    for word in words[3:]:
        if word.startswith("--"):
            assert word[2:] in known | singular, word


def _spelt(name: str) -> str:
    """CamelCase as the CLI writes it."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()


def reads(words: list[str]) -> None:
    """A program of the machine that only reads, in a network namespace of its own."""
    if os.geteuid() != 0 or not shutil.which(words[0]):
        pytest.skip(f"needs root and {words[0]}")
    if words[:3] == ["nft", "list", "table"]:
        words = ["nft", "list", "tables"]  # the table is there where netconf runs with nftables
    done = subprocess.run(["unshare", "--net", *words], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr


def python(words: list[str]) -> None:
    if words[1] == "-m":
        module = words[2]
        if module in MODULES_ELSEWHERE:
            assert (REPO / MODULES_ELSEWHERE[module]).exists()
            return
        done = subprocess.run(
            [sys.executable, "-c", f"import importlib.util as u, sys; sys.exit(u.find_spec({module!r}) is None)"],
            check=False,
        )
        assert done.returncode == 0, module
        return
    script = REPO / words[1]
    compile(script.read_text(encoding="utf-8"), str(script), "exec")


def collects(words: list[str]) -> None:
    """pytest finds tests with these arguments."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", *words[1:]], cwd=REPO, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def is_program(words: list[str]) -> None:
    assert os.access(REPO / words[0], os.X_OK)


TRY: Final = {
    "make": make,
    "vpclab": ask_vpclab,
    "vpccni": ask_vpccni,
    "kubectl": kubectl,
    "helm": helm,
    "aws": aws,
    "python": python,
    "python3": python,
    ".venv/bin/python": python,
    ".venv/bin/pytest": collects,
    "tests/qemu/run": is_program,
    "tests/qemu/setup": is_program,
} | dict.fromkeys(("ip", "iptables", "iptables-save", "nft", "sysctl"), reads)
ALL: Final = commands()


def test_commands_are_found() -> None:
    """The search itself works: what is known to be there is found."""
    texts = {command.text for command in ALL}
    known = {"make demo", "vpclab run -n 40", "vpccni verify", "helm -n kube-system test aws-vpc-cni"}
    assert known <= texts and len(ALL) > 80


def test_exceptions_are_still_there() -> None:
    assert set(NOT_COMMANDS) - {str(command) for command in ALL} == set()


@pytest.mark.parametrize("command", [c for c in ALL if str(c) not in NOT_COMMANDS], ids=str)
def test_command(command: Command) -> None:
    program = command.words[0]
    assert program in TRY, f"{program}: say in TRY how it is tried, or in NOT_COMMANDS why not"
    TRY[program](command.words)
