"""Trace context, times, DEL queue names, error objects: the plugin's small pure parts."""

from __future__ import annotations

import datetime

import pytest
from vpccni_plugin.del_queue import file_name
from vpccni_plugin.errors import PluginError, error_object, from_status
from vpccni_plugin.log import rfc3339
from vpccni_plugin.result import parse_prev_result
from vpccni_plugin.trace import Trace

VALID = "00-" + "4bf92f3577b34da6a3ce929d0e0e4736" + "-" + "00f067aa0ba902b7" + "-01"
CONTAINER = "0123456789abcdef" * 4


class TestTrace:
    def test_inherited(self) -> None:
        """A span of our own in the runtime's trace, below its span; its sampling flag stays."""
        trace = Trace(VALID[:-2] + "00", CONTAINER)
        assert trace.parent == VALID[:-2] + "00"
        assert trace.trace_id == VALID[3:35]
        assert trace.traceparent != trace.parent
        assert trace.traceparent.endswith("-00")
        assert Trace(trace.traceparent, "").parent == trace.traceparent  # what we make is valid

    @pytest.mark.parametrize(
        "inherited",
        [
            "",
            "garbage",
            VALID[:-1],
            VALID + "0",
            VALID.upper(),
            "ff" + VALID[2:],
            "00-" + "0" * 32 + VALID[35:],
            VALID[:36] + "0" * 16 + "-01",
            VALID[:-2] + "0g",
            VALID.replace("-", "_"),
        ],
    )
    def test_invalid_is_replaced(self, inherited: str) -> None:
        trace = Trace(inherited, CONTAINER)
        assert trace.parent == ""
        assert trace.trace_id == CONTAINER[:32]
        assert Trace(trace.traceparent, "").parent == trace.traceparent

    def test_one_trace_per_sandbox_and_a_span_per_call(self) -> None:
        first, second = Trace("", CONTAINER), Trace("", CONTAINER)
        assert first.trace_id == second.trace_id
        assert first.traceparent != second.traceparent

    @pytest.mark.parametrize("container", ["abc", "pod_1.x", "0" * 64, "g" * 64])
    def test_container_id_that_is_no_trace_id(self, container: str) -> None:
        trace = Trace("", container)
        assert trace.trace_id == Trace("", container).trace_id
        assert trace.trace_id != Trace("", container + "x").trace_id
        assert Trace(trace.traceparent, "").parent == trace.traceparent

    def test_without_container(self) -> None:
        assert Trace("", "").trace_id != Trace("", "").trace_id


@pytest.mark.parametrize(
    "seconds", [0, 1, 951_782_399, 951_782_400, 951_868_800, 1_709_164_800, 4_107_542_399, 4_107_542_400, 1_795_871_632]
)
def test_rfc3339(seconds: int) -> None:
    expected = datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S")
    assert rfc3339(seconds * 10**9 + 7_999_999) == expected + ".007Z"


def test_queue_file_names() -> None:
    assert file_name("abc", "eth0") == "abc-eth0.json"
    assert file_name("a", "é%+*") == "a-%C3%A9%25%2B%2A.json"
    assert "/" not in file_name("a", "../../x")


class TestErrors:
    def test_pool_reason_has_the_sentence_only_for_add(self) -> None:
        error = PluginError("ENI_LIMIT", "m", "ipam")
        assert error_object(error, "ADD", "1.0.0", "t")["msg"] == (
            "add cmd: failed to assign an IP address to container: ENI_LIMIT: m"
        )
        assert error_object(error, "DEL", "1.0.0", "t")["msg"] == "del cmd: ENI_LIMIT: m"

    def test_without_command(self) -> None:
        assert error_object(PluginError("INTERNAL", "m"), "", "1.0.0", "t")["msg"] == "INTERNAL: m"

    @pytest.mark.parametrize(("reason", "code"), [("POOL_WARMING", 50), ("INTERNAL", 50), ("CONFIG_INVALID", 7)])
    def test_status_code(self, reason: str, code: int) -> None:
        assert error_object(PluginError(reason, "m"), "STATUS", "1.1.0", "t")["code"] == code

    @pytest.mark.parametrize(
        ("status", "reason", "code"),
        [
            (14, "", 11),
            (4, "", 11),
            (12, "", 100),
            (13, "", 101),
            (14, "LATER", 11),
            (8, "LATER", 11),
            (3, "LATER", 101),
        ],
    )
    def test_status_of_ipam(self, status: int, reason: str, code: int) -> None:
        assert from_status(status, "m", reason, "").code == code

    def test_details(self) -> None:
        known = error_object(PluginError("DRAINING", "m", "netconf"), "ADD", "1.0.0", "t")["details"]
        assert known == "The service is shutting down. Wait: a new one will answer. trace=t origin=netconf"
        assert error_object(PluginError("LATER", "m"), "ADD", "1.0.0", "t")["details"] == "trace=t origin=plugin"


class TestPrevResult:
    def test_absent(self) -> None:
        assert parse_prev_result({}) is None
        assert parse_prev_result({"prevResult": None}) is None

    def test_version_0_3(self) -> None:
        parsed = parse_prev_result(
            {
                "prevResult": {
                    "interfaces": [{"name": "a"}, {"name": "eth0", "sandbox": "/x", "mac": "254"}],
                    "ips": [{"version": "4", "interface": 1, "address": "10.0.0.1/32", "gateway": "10.0.0.254"}],
                }
            }
        )
        assert parsed == {
            "interfaces": [
                {"name": "a", "mac": "", "sandbox": ""},
                {"name": "eth0", "mac": "254", "sandbox": "/x"},
            ],
            "ips": [{"address": "10.0.0.1/32", "gateway": "10.0.0.254", "interface": 1}],
        }

    def test_address_without_interface_is_not_ours(self) -> None:
        parsed = parse_prev_result({"prevResult": {"ips": [{"address": "10.0.0.1/32"}]}})
        assert parsed == {"interfaces": [], "ips": []}

    @pytest.mark.parametrize(
        ("prev", "message"),
        [
            ("x", "prevResult is 'x'"),
            ({"interfaces": {}}, "prevResult.interfaces is"),
            ({"interfaces": [1]}, "prevResult.interfaces is"),
            ({"interfaces": [{"name": 1}]}, r"prevResult.interfaces\[\].name is '1'"),
            ({"interfaces": [{}], "ips": [{"interface": True}]}, r"prevResult.ips\[\].interface is 'True'"),
            ({"interfaces": [{}], "ips": [{"interface": -1}]}, r"prevResult.ips\[\].interface is '-1'"),
            ({"interfaces": [{}], "ips": [{"interface": 0}]}, r"prevResult.ips\[\].address is ''"),
        ],
    )
    def test_malformed(self, prev: object, message: str) -> None:
        with pytest.raises(PluginError, match=message) as caught:
            parse_prev_result({"prevResult": prev})  # type: ignore[dict-item]
        assert caught.value.reason == "CONFIG_INVALID"
