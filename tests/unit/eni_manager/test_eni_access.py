"""What EC2's answer to a dry run means; the hop limit of a metadata endpoint with a given IP time to live."""

from __future__ import annotations

import contextlib
import http.server
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from vpccni_eni_manager.adapters.ec2_dry_run import request
from vpccni_eni_manager.adapters.ec2_model import ACTIONS
from vpccni_eni_manager.adapters.imds_hops import ImdsHops
from vpccni_eni_manager.domain import access
from vpccni_eni_manager.domain.access import Verdict
from vpccni_eni_manager.domain.ec2_errors import Ec2Error, failure_of
from vpccni_eni_manager.ports import Sample


@pytest.mark.parametrize(
    ("code", "status", "verdict"),
    [
        ("DryRunOperation", 412, Verdict.ALLOWED),
        ("UnauthorizedOperation", 403, Verdict.DENIED),
        ("ExpiredToken", 400, Verdict.DENIED),
        ("InvalidParameterValue", 400, Verdict.ALLOWED),
        ("RequestLimitExceeded", 503, Verdict.UNKNOWN),
        ("InternalError", 500, Verdict.UNKNOWN),
    ],
)
def test_the_answer_to_a_dry_run(code: str, status: int, verdict: Verdict) -> None:
    error = Ec2Error("CreateTags", code, failure_of(code, status), "told")
    judged = access.judged("CreateTags", error)
    assert (judged.verdict, bool(judged.message)) == (verdict, verdict is not Verdict.ALLOWED)


def test_the_ciphertext_of_a_denial_is_left_out() -> None:
    text = "You are not authorized. Encoded authorization failure message: AAAA"
    error = Ec2Error("CreateTags", "UnauthorizedOperation", failure_of("UnauthorizedOperation", 403), text)
    assert "AAAA" not in access.judged("CreateTags", error).message


def test_both_families_together_need_every_action_that_is_called() -> None:
    both = {name for ipv6 in (False, True) for name in access.needed(imds_only=False, provisioning=True, ipv6=ipv6)}
    assert both == set(ACTIONS)
    assert access.needed(imds_only=True, provisioning=False, ipv6=False) == ()
    reads = access.needed(imds_only=False, provisioning=False, ipv6=False)
    assert reads and all(name.startswith("Describe") for name in reads)


@pytest.mark.parametrize("action", ACTIONS)
def test_no_request_can_be_carried_out(action: str) -> None:
    """What has no dry run names an address that no ENI can hold, and only that."""
    sample = Sample(
        instance_id="i-1", instance_type="m5.large", subnet_id="subnet-1", eni_id="eni-1", attachment_id="eni-attach-1",
        security_groups=("sg-1",), tags={"a": "b"},
    )  # fmt: skip
    asked = request(action, sample)
    if "DryRun" in asked:
        assert asked["DryRun"] is True
    else:
        addresses = asked.get("PrivateIpAddresses") or asked["Ipv6Addresses"]
        assert addresses in (["192.0.2.1"], ["2001:db8:ffff:ffff::1"]) and len(asked) == 2


class _Token(http.server.BaseHTTPRequestHandler):
    def do_PUT(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1")
        self.end_headers()
        self.wfile.write(b"t")

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextlib.contextmanager
def metadata(hops: int) -> Iterator[str]:
    """An endpoint whose packets travel ``hops`` hops."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Token)
    server.socket.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hops)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(("hops", "told"), [(1, 1), (2, 2), (64, 2)])
def test_the_hop_limit_is_measured(hops: int, told: int) -> None:
    with metadata(hops) as url, ThreadPoolExecutor(1) as threads:
        assert ImdsHops(url, threads).measure() == told


def test_an_endpoint_that_does_not_answer_has_no_known_hop_limit() -> None:
    with ThreadPoolExecutor(1) as threads:
        assert ImdsHops("http://127.0.0.1:9", threads).measure() == 0
        assert ImdsHops("http://[::1]:9", threads).measure() == 0
