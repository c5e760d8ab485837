"""The IMDS endpoint over HTTP: tokens, 404, staleness, faults; botocore's own IMDS client."""

from __future__ import annotations

import dataclasses
import http.client
import urllib.parse
from collections.abc import Iterator

import pytest
from botocore.utils import InstanceMetadataRegionFetcher
from vpccni_lab.ec2.embedded import Embedded
from vpccni_lab.ec2.model import Ec2
from vpccni_lab.ec2.records import Instance
from vpccni_lab.ec2.timing import Timings

TTL = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN = "X-aws-ec2-metadata-token"


@dataclasses.dataclass
class Bed:
    lab: Embedded
    ec2: Ec2
    now: list[float]
    node: Instance
    subnet: str
    url: str
    token: str = ""

    def ask(self, path: str, method: str = "GET", url: str = "", **headers: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(url or self.url).netloc)
        try:
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, headers=given)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def get(self, path: str) -> tuple[int, str]:
        return self.ask("/latest/" + path, **{TOKEN: self.token})

    def macs(self) -> set[str]:
        return {line.rstrip("/") for line in self.get("meta-data/network/interfaces/macs")[1].split()}

    def call(self, action: str, **params: object) -> dict[str, object]:
        return self.lab.do(lambda: self.ec2.call("test", action, params).value())


@pytest.fixture
def bed() -> Iterator[Bed]:
    now = [1_700_000_000.0]
    ec2 = Ec2(lambda: now[0], seed=6)
    vpc = ec2.create_vpc(["10.0.0.0/16"])
    subnet = ec2.create_subnet(vpc.id, "10.0.1.0/24", "us-west-2a")
    node = ec2.run_instance("m5.large", subnet.id, name="node-a")
    now[0] += 1000
    with Embedded(ec2) as lab:
        bed = Bed(lab, ec2, now, node, subnet.id, lab.imds(node.id))
        status, bed.token = bed.ask("/latest/api/token", "PUT", **{TTL: "21600"})
        assert status == 200
        yield bed


def attach(bed: Bed) -> str:
    made = bed.call("CreateNetworkInterface", SubnetId=bed.subnet, SecondaryPrivateIpAddressCount=2)
    eni_id = str(made["NetworkInterface"]["NetworkInterfaceId"])  # type: ignore[index]
    bed.call("AttachNetworkInterface", NetworkInterfaceId=eni_id, InstanceId=bed.node.id, DeviceIndex=1)
    return eni_id


def test_a_token_is_required_and_checked(bed: Bed) -> None:
    assert bed.ask("/latest/meta-data/mac")[0] == 401
    assert bed.ask("/latest/meta-data/mac", **{TOKEN: "nonsense"})[0] == 401
    assert bed.ask("/latest/meta-data/mac", **{TOKEN: bed.token[:-4] + "AAAA"})[0] == 401
    assert bed.get("meta-data/mac") == (200, bed.ec2.primary_eni(bed.node.id).mac)
    bed.now[0] += 21601
    assert bed.get("meta-data/mac")[0] == 401


@pytest.mark.parametrize("ttl", ["0", "-1", "21601", "soon", ""])
def test_token_lifetimes_are_bounded(bed: Bed, ttl: str) -> None:
    assert bed.ask("/latest/api/token", "PUT", **{TTL: ttl})[0] == 400


def test_a_token_needs_its_header_and_comes_with_its_lifetime(bed: Bed) -> None:
    assert bed.ask("/latest/api/token", "PUT")[0] == 400
    assert bed.ask("/latest/api/token", "PUT", **{TTL: "60", "X-Forwarded-For": "10.0.0.1"})[0] == 403
    assert bed.ask("/latest/meta-data/mac", "POST", **{TOKEN: bed.token})[0] == 405
    assert bed.ask("/latest/meta-data/mac", "PUT", **{TTL: "60"})[0] == 404
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(bed.url).netloc)
    connection.request("PUT", "/latest/api/token", headers={TTL: "60"})
    answer = connection.getresponse()
    assert answer.headers[TTL] == "60"
    connection.close()


def test_a_token_of_another_instance_is_refused(bed: Bed) -> None:
    other = bed.lab.do(lambda: bed.ec2.run_instance("m5.large", bed.subnet))
    url = bed.lab.imds(other.id)
    assert bed.ask("/latest/meta-data/mac", url=url, **{TOKEN: bed.token})[0] == 401


def test_version_1_only_where_it_is_allowed(bed: Bed) -> None:
    url = bed.lab.imds(bed.node.id, v1=True)
    assert bed.ask("/latest/meta-data/instance-id", url=url) == (200, bed.node.id)
    assert bed.ask("/latest/meta-data/instance-id", url=url, **{TOKEN: "nonsense"})[0] == 401


def test_versions_and_unknown_paths(bed: Bed) -> None:
    assert bed.ask("/2021-03-23/meta-data/instance-id", **{TOKEN: bed.token}) == (200, bed.node.id)
    assert bed.ask("/tomorrow/meta-data/instance-id", **{TOKEN: bed.token})[0] == 404
    assert bed.ask("/", **{TOKEN: bed.token}) == (200, "latest")
    assert bed.get("meta-data/ipv6")[0] == 404
    assert bed.get("user-data")[0] == 404


def test_metadata_follows_the_state_at_once(bed: Bed) -> None:
    eni_id = attach(bed)
    eni = bed.ec2.eni(eni_id)
    assert bed.macs() == {bed.ec2.primary_eni(bed.node.id).mac, eni.mac}
    base = f"meta-data/network/interfaces/macs/{eni.mac}/"
    assert bed.get(base + "local-ipv4s") == (200, "\n".join(eni.private_ips))
    assert bed.get(base + "device-number") == (200, "1")
    bed.call("UnassignPrivateIpAddresses", NetworkInterfaceId=eni_id, PrivateIpAddresses=[eni.secondary_ips[0]])
    assert bed.get(base + "local-ipv4s") == (200, f"{eni.private_ip}\n{eni.secondary_ips[1]}")
    assert eni.attachment is not None
    bed.call("DetachNetworkInterface", AttachmentId=eni.attachment.id)
    assert bed.get(base + "local-ipv4s")[0] == 404


def test_an_eni_shows_when_it_is_attached_not_while_attaching(bed: Bed) -> None:
    bed.lab.do(lambda: setattr(bed.ec2, "timings", Timings(attach=4)))
    attach(bed)
    assert len(bed.macs()) == 1
    bed.now[0] += 4
    assert len(bed.macs()) == 2


def test_lag_and_the_staleness_fault_show_the_past(bed: Bed) -> None:
    bed.lab.do(lambda: setattr(bed.ec2, "timings", Timings(imds_lag=3)))
    eni = bed.ec2.eni(attach(bed))
    assert len(bed.macs()) == 1
    bed.now[0] += 3
    assert len(bed.macs()) == 2
    bed.lab.do(lambda: bed.ec2.faults.add({"kind": "imds-stale", "seconds": 60, "callers": ["node-a"]}))
    assert len(bed.macs()) == 1
    bed.now[0] += 57
    assert len(bed.macs()) == 2
    assert eni.attachment is not None
    bed.call("DetachNetworkInterface", AttachmentId=eni.attachment.id)
    bed.call("DeleteNetworkInterface", NetworkInterfaceId=eni.id)
    bed.now[0] += 59
    assert eni.mac in bed.macs()
    bed.now[0] += 1
    assert eni.mac not in bed.macs()


def test_staleness_stops_at_the_launch(bed: Bed) -> None:
    bed.lab.do(lambda: bed.ec2.faults.add({"kind": "imds-stale", "seconds": 1e9}))
    assert bed.macs() == {bed.ec2.primary_eni(bed.node.id).mac}


def test_failing_paths(bed: Bed) -> None:
    bed.lab.do(
        lambda: bed.ec2.faults.add(
            {"kind": "imds-error", "status": 503, "actions": ["meta-data/network/*"], "count": 1}
        )
    )
    assert bed.get("meta-data/mac")[0] == 200
    assert bed.get("meta-data/network/interfaces/macs")[0] == 503
    assert bed.get("meta-data/network/interfaces/macs")[0] == 200
    bed.lab.do(lambda: bed.ec2.faults.add({"kind": "imds-timeout", "seconds": 0.05, "actions": ["api/token"]}))
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        bed.ask("/latest/api/token", "PUT", **{TTL: "60"})


def test_a_terminated_instance_answers_no_more(bed: Bed) -> None:
    bed.call("TerminateInstances", InstanceIds=[bed.node.id])
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        bed.get("meta-data/mac")


def test_requests_are_counted_by_path_with_macs_folded(bed: Bed) -> None:
    bed.ec2.imds_calls.reset()
    mac = bed.ec2.primary_eni(bed.node.id).mac
    bed.get(f"meta-data/network/interfaces/macs/{mac}/ipv4-prefix")
    assert bed.ec2.imds_calls.counts == {("node-a", "meta-data/network/interfaces/macs/{mac}/ipv4-prefix", "404"): 1}


def test_botocore_finds_the_region(bed: Bed) -> None:
    fetcher = InstanceMetadataRegionFetcher(base_url=bed.url + "/", timeout=5)
    assert fetcher.retrieve_region() == "us-west-2"
