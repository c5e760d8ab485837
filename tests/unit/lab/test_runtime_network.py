"""The verbs, with plugins that are real programs: they note what they were given and answer as they are told."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from vpccni_api.reasons import Reason, ReasonError
from vpccni_lab.runtime import conflist
from vpccni_lab.runtime.conflist import Attachment
from vpccni_lab.runtime.invoke import CniError
from vpccni_lab.runtime.network import CniNetwork

PROGRAM = """#!{python} -IS
import json, os, sys
me = os.path.basename(sys.argv[0])
text = sys.stdin.read()
given = json.loads(text) if text else {{}}
env = {{k: v for k, v in os.environ.items() if k.startswith("CNI_")}}
with open({log!r}, "a") as log:
    log.write(json.dumps({{"plugin": me, "env": env, "given": given}}) + "\\n")
command = os.environ["CNI_COMMAND"]
told = given.get("answer", {{}}).get(command)
if command == "VERSION":
    print(json.dumps({{"cniVersion": "1.0.0", "supportedVersions": ["0.4.0", "1.0.0"]}}))
elif told:
    sys.stderr.write("on stderr")
    print(told["say"])
    sys.exit(told["status"])
elif command == "ADD":
    before = given.get("prevResult", {{}}).get("by", [])
    print(json.dumps({{"cniVersion": given["cniVersion"], "by": before + [me]}}))
"""
POD = Attachment("c1", "/var/run/netns/x", args=(("K8S_POD_NAME", "web"),))


@dataclasses.dataclass
class Bench:
    directory: Path

    def __post_init__(self) -> None:
        for name in ("first", "second"):
            program = self.directory / name
            program.write_text(PROGRAM.format(python=sys.executable, log=str(self.directory / "log")))
            program.chmod(0o755)

    def network(self, version: str = "1.0.0", answer: dict[str, Any] | None = None, **fields: Any) -> CniNetwork:
        plugins = [{"type": "first"}, {"type": "second", "answer": answer or {}}]
        conf = conflist.parse(json.dumps({"name": "net", "cniVersion": version, "plugins": plugins, **fields}))
        return CniNetwork(conf, plugin_dirs=[str(self.directory)], cache_dir=self.directory / "cache", timeout=20)

    @property
    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.directory / "log").read_text().splitlines()]

    @property
    def order(self) -> list[tuple[str, str]]:
        return [(call["plugin"], call["env"]["CNI_COMMAND"]) for call in self.log]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_add_chains_results_and_del_gets_the_last_in_reverse_order(bench: Bench) -> None:
    network = bench.network()
    outcome = network.add(POD)
    assert outcome.result == {"cniVersion": "1.0.0", "by": ["first", "second"]}
    network.check(POD)
    network.delete(POD)
    assert bench.order == [
        ("first", "ADD"),
        ("second", "ADD"),
        ("first", "CHECK"),
        ("second", "CHECK"),
        ("second", "DEL"),
        ("first", "DEL"),
    ]
    previous = [call["given"].get("prevResult") for call in bench.log]
    final = {"cniVersion": "1.0.0", "by": ["first", "second"]}
    assert previous == [None, {"cniVersion": "1.0.0", "by": ["first"]}, final, final, final, final]
    assert bench.log[0]["env"] == {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": "c1",
        "CNI_NETNS": "/var/run/netns/x",
        "CNI_IFNAME": "eth0",
        "CNI_ARGS": "K8S_POD_NAME=web",
        "CNI_PATH": str(bench.directory),
    }
    assert list(network.cache.all()) == []


def test_a_plugins_error_object_is_typed_and_stops_the_chain(bench: Bench) -> None:
    say = json.dumps({"cniVersion": "1.0.0", "code": 11, "msg": "later", "details": "why"})
    network = bench.network(answer={"ADD": {"say": say, "status": 1}})
    with pytest.raises(CniError) as caught:
        network.add(POD)
    assert (caught.value.code, caught.value.msg, caught.value.details) == (11, "later", "why")
    assert caught.value.execution.plugin == "second"
    assert caught.value.execution.stderr == b"on stderr"
    assert list(network.cache.all()) == []


@pytest.mark.parametrize(("say", "status", "says"), [("oops", 3, "exit status 3"), ("oops", 0, "no JSON object")])
def test_a_plugin_that_breaks_the_protocol_is_told_apart(bench: Bench, say: str, status: int, says: str) -> None:
    with pytest.raises(CniError) as caught:
        bench.network(answer={"ADD": {"say": say, "status": status}}).add(POD)
    assert caught.value.code == 0
    assert says in caught.value.msg


def test_a_failed_del_keeps_the_cached_result_for_the_next_try(bench: Bench) -> None:
    network = bench.network(answer={"DEL": {"say": json.dumps({"code": 11, "msg": "later"}), "status": 1}})
    network.add(POD)
    with pytest.raises(CniError):
        network.delete(POD)
    assert bench.order[-1] == ("second", "DEL")
    assert len(list(network.cache.all())) == 1
    assert next(network.cache.all("net")).attachment == POD


def test_verbs_by_version(bench: Bench) -> None:
    old = bench.network(version="0.3.1")
    old.add(POD)
    with pytest.raises(ReasonError):
        old.check(POD)
    old.delete(POD)
    assert "prevResult" not in bench.log[-1]["given"]
    old.status()
    new = bench.network(version="1.1.0")
    new.status()
    new.add(POD)
    new.add(dataclasses.replace(POD, container_id="c2"))
    new.gc([POD])
    assert [(c["env"]["CNI_COMMAND"], c["env"].get("CNI_CONTAINERID")) for c in bench.log[-4:]] == [
        ("DEL", "c2"),
        ("DEL", "c2"),
        ("GC", None),
        ("GC", None),
    ]
    assert bench.log[-1]["given"]["cni.dev/valid-attachments"] == [{"containerID": "c1", "ifname": "eth0"}]


def test_check_needs_a_cached_result_unless_it_is_disabled(bench: Bench) -> None:
    with pytest.raises(ReasonError) as caught:
        bench.network().check(POD)
    assert caught.value.reason is Reason.UNKNOWN_POD
    assert bench.network(disableCheck=True).check(POD).executions == ()


def test_versions_are_asked_for_and_checked(bench: Bench) -> None:
    assert bench.network().versions("first") == ("0.4.0", "1.0.0")
    bench.network().validate()
    with pytest.raises(ReasonError) as caught:
        bench.network(version="1.1.0").validate()
    assert "supports 0.4.0, 1.0.0" in caught.value.message


def test_a_plugin_that_is_not_installed_is_named(bench: Bench) -> None:
    (bench.directory / "second").unlink()
    with pytest.raises(ReasonError) as caught:
        bench.network().add(POD)
    assert "second" in caught.value.message


def test_a_plugin_that_hangs_is_killed(tmp_path: Path) -> None:
    program = tmp_path / "hangs"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    conf = conflist.parse('{"name":"n","cniVersion":"1.0.0","plugins":[{"type":"hangs"}]}')
    with pytest.raises(CniError) as caught:
        CniNetwork(conf, plugin_dirs=[str(tmp_path)], cache_dir=tmp_path, timeout=0.2).add(POD)
    assert caught.value.execution.status == -9
