"""The command line and the lab that it describes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from vpccni_api.reasons import Reason, ReasonError
from vpccni_lab import spec as labspec
from vpccni_lab.cli import args, cloud, main
from vpccni_lab.cli.output import table
from vpccni_lab.spec import LabSpec


def spec(*words: str) -> LabSpec:
    parsed = main.parser().parse_args(["up", *words])
    return args.spec_from(parsed, parsed.name)


def test_the_default_lab() -> None:
    lab = spec()
    assert lab.name == "demo"
    assert [(n.name, n.instance_type, n.cni) for n in lab.nodes] == [
        ("node-a", "m5.large", "vpccni"),
        ("node-b", "m5.large", "vpccni"),
        ("plain", "m5.large", "none"),
    ]


def test_flags_change_it() -> None:
    lab = spec(
        "mine", "--nodes", "3", "--instance-type", "c5.xlarge", "--subnet", "10.0.8.0/24", "--subnet", "10.0.9.0/24",
        "--env", "A=b=c", "--warm-ip-target", "5", "--attach-delay", "2.5", "--no-traces", "--cni-version", "1.1.0",
    )  # fmt: skip
    assert lab.name == "mine"
    ours = [node for node in lab.nodes if node.cni == "vpccni"]
    assert [(n.name, n.instance_type, lab.subnet(n.subnet).cidr) for n in ours] == [
        ("node-a", "c5.xlarge", "10.0.8.0/24"),
        ("node-b", "c5.xlarge", "10.0.9.0/24"),
        ("node-c", "c5.xlarge", "10.0.8.0/24"),
    ]
    assert lab.env == {"A": "b=c", "WARM_IP_TARGET": "5"}
    assert lab.timings == {"attach": 2.5}
    assert (lab.traces, lab.cni.version) == (False, "1.1.0")


def test_another_vpc_keeps_only_what_fits() -> None:
    lab = spec("--vpc-cidr", "10.0.0.0/16")
    assert [subnet.name for subnet in lab.subnets] == ["a", "b"]
    assert [node.name for node in lab.nodes] == ["node-a", "node-b"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["Bad-Name"], "name = 'Bad-Name'"),
        (["--subnet", "172.16.0.0/24"], "must lie in one of"),
        (["--subnet", "10.0.1.5/24"], "a CIDR"),
        (["--env", "NOVALUE"], "NAME=VALUE"),
        (["--nodes", "99"], "0 to 26"),
        (["-f", "/does/not/exist"], "file"),
    ],
)
def test_bad_words_are_named(words: list[str], says: str) -> None:
    with pytest.raises(ReasonError) as caught:
        spec(*words)
    assert caught.value.reason is Reason.CONFIG_INVALID
    assert says in caught.value.message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("just text", "a YAML mapping"),
        ("nodez: []", "lab.nodez"),
        ("nodes: [{name: a}]", "nodes[0]"),
        ("nodes: [{name: vpc, subnet: a}]", "node name"),
        ("nodes: [{name: n, subnet: nowhere}]", "subnet = 'nowhere'"),
        ("nodes: [{name: n, subnet: a, cni: other}]", "one of vpccni, later, none"),
        ("cni: {veth_prefix: abcde}", "at most 4 characters"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "lab.yaml"
    path.write_text(text)
    with pytest.raises(ReasonError) as caught:
        spec("-f", str(path))
    assert says in caught.value.message


def test_a_file_describes_a_lab_and_flags_go_over_it(tmp_path: Path) -> None:
    path = tmp_path / "lab.yaml"
    path.write_text(
        """
        name: filed
        cidrs: [10.5.0.0/16]
        subnets: [{name: x, cidr: 10.5.1.0/24, tags: {kubernetes.io/role/cni: 1}}]
        nodes: [{name: n1, subnet: x, env: {ENABLE_PREFIX_DELEGATION: true}}]
        cni: {version: 1.1.0, chained: [{type: portmap}]}
        """
    )
    lab = spec("-f", str(path), "--warm-eni-target", "2")
    assert lab.name == "filed"
    assert lab.nodes[0].env == {"ENABLE_PREFIX_DELEGATION": "true"}
    assert lab.subnets[0].tags == {"kubernetes.io/role/cni": "1"}
    assert lab.env == {"WARM_ENI_TARGET": "2"}
    plugins = labspec.conflist(lab.cni)["plugins"]
    assert [plugin["type"] for plugin in plugins] == ["aws-cni", "portmap"]


def test_a_lab_survives_json() -> None:
    lab = spec("--env", "A=1")
    assert labspec.from_dict(json.loads(json.dumps(labspec.to_dict(lab)))) == lab


def test_faults_are_typed() -> None:
    words = [
        "throttle",
        "actions=Assign*,Attach*",
        "rate=0.5",
        "burst=2",
        "per_caller=true",
        "count=3",
        "for_seconds=9",
    ]
    assert cloud.parse_fault(words) == {
        "kind": "throttle",
        "actions": ["Assign*", "Attach*"],
        "rate": 0.5,
        "burst": 2.0,
        "per_caller": True,
        "count": 3,
        "for_seconds": 9.0,
    }
    for bad, says in ((["throttle", "rate=x"], "must be a number"), (["throttle", "speed=1"], "one of")):
        with pytest.raises(ReasonError) as caught:
            cloud.parse_fault(bad)
        assert says in caught.value.message


def test_tables_never_pass_the_width() -> None:
    text = table(["A", "B"], [("x" * 150, "y" * 30), ("1", "2")])
    assert max(map(len, text.splitlines())) <= 100
    assert text.splitlines()[2].split() == ["1", "2"]
    assert table(["A"], []) == "A"
