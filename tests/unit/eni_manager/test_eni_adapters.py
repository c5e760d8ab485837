"""Metadata reading, the journal, the cut EC2 model, settings: adapters without their servers."""

from __future__ import annotations

import json
import pathlib

import boto3.session
import botocore.session
import pytest
from vpccni_api.reasons import Reason, ReasonError
from vpccni_eni_manager import settings as own
from vpccni_eni_manager.adapters import ec2_model, imds, imds_read
from vpccni_eni_manager.adapters.journal import FileJournal
from vpccni_eni_manager.create_eni import new_eni_of, request_of
from vpccni_eni_manager.domain.eni_steps import Action, Step
from vpccni_eni_manager.domain.model import AddressMode
from vpccni_eni_manager.ports import NewEni
from vpccni_kit import settings

M0, M1, M2 = "02:00:00:00:00:00", "02:00:00:00:00:01", "02:00:00:00:00:02"
MACS = "meta-data/network/interfaces/macs"


def tree(**more: str) -> dict[str, str]:
    """Three ENIs: the primary (device number wrong for a moment), one with prefixes, an EFA-only one on card 1."""
    text = {
        "meta-data/mac": M0,
        MACS: f"{M1}/\n{M0}/\n{M2}/",
        f"{MACS}/{M0}/": "device-number\ninterface-id\nlocal-ipv4s\nsubnet-id\nsubnet-ipv4-cidr-block\nsubnet-ipv6-cidr-blocks",
        f"{MACS}/{M0}/interface-id": "eni-0",
        f"{MACS}/{M0}/device-number": "1",
        f"{MACS}/{M0}/local-ipv4s": "10.0.1.4\n10.0.1.5 10.0.1.6",
        f"{MACS}/{M0}/subnet-id": "subnet-1",
        f"{MACS}/{M0}/subnet-ipv4-cidr-block": "10.0.1.0/24",
        f"{MACS}/{M0}/subnet-ipv6-cidr-blocks": "2001:db8:1::/64\n2001:db8:2::/64",
        f"{MACS}/{M1}/": "device-number\ninterface-id\nlocal-ipv4s\nipv4-prefix\nipv6-prefix\nipv6s\nnetwork-card\nsubnet-id",
        f"{MACS}/{M1}/interface-id": "eni-1",
        f"{MACS}/{M1}/device-number": "2",
        f"{MACS}/{M1}/local-ipv4s": "10.0.1.7",
        f"{MACS}/{M1}/ipv4-prefix": "10.0.1.32/28\n10.0.1.48/28",
        f"{MACS}/{M1}/ipv6-prefix": "2001:db8:1:0:1::/80",
        f"{MACS}/{M1}/ipv6s": "2001:db8:1::7",
        f"{MACS}/{M1}/network-card": "0",
        f"{MACS}/{M1}/subnet-id": "subnet-1",
        f"{MACS}/{M2}/": "device-number\ninterface-id\nnetwork-card",
        f"{MACS}/{M2}/interface-id": "eni-2",
        f"{MACS}/{M2}/device-number": "1",
        f"{MACS}/{M2}/network-card": "1",
    }
    return text | more


def test_enis_as_imds_lists_them() -> None:
    found = {eni.eni_id: eni for eni in imds_read.read_enis(tree().get)}
    primary, second, efa = found["eni-0"], found["eni-1"], found["eni-2"]
    assert (primary.is_primary, primary.device_number, primary.primary_ip) == (True, 0, "10.0.1.4")
    assert primary.secondary_ips == ("10.0.1.5", "10.0.1.6")
    assert (primary.subnet_cidr, primary.subnet_ipv6_cidr) == ("10.0.1.0/24", "2001:db8:1::/64")
    assert second.ipv4_prefixes == ("10.0.1.32/28", "10.0.1.48/28")
    assert (second.ipv6_prefixes, second.ipv6_addresses) == (("2001:db8:1:0:1::/80",), ("2001:db8:1::7",))
    assert (efa.interface_type, efa.network_card, efa.device_number) == ("efa-only", 1, 1)


@pytest.mark.parametrize("missing", ["meta-data/mac", MACS, f"{MACS}/{M1}/", f"{MACS}/{M1}/interface-id"])
def test_a_hole_in_the_listing_fails_the_whole_and_names_the_path(missing: str) -> None:
    text = tree()
    del text[missing]
    with pytest.raises(ReasonError) as caught:
        imds_read.read_enis(text.get)
    assert caught.value.reason is Reason.IMDS_UNREACHABLE
    assert missing in caught.value.message


@pytest.mark.parametrize("document", ["not json", "[]", "{}"])
def test_identity_document_without_a_region(document: str) -> None:
    with pytest.raises(ReasonError, match="identity document"):
        imds_read.read_region({"dynamic/instance-identity/document": document}.get)


@pytest.mark.parametrize(
    ("environ", "endpoint"),
    [
        ({}, "http://169.254.169.254"),
        ({"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE": "IPv6"}, "http://[fd00:ec2::254]"),
        ({"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:1338/"}, "http://127.0.0.1:1338"),
    ],
)
def test_metadata_endpoint(environ: dict[str, str], endpoint: str) -> None:
    assert imds.endpoint_from(environ) == endpoint


def test_a_metadata_endpoint_that_is_no_http_url_is_a_wrong_setting() -> None:
    with pytest.raises(ReasonError) as caught:
        imds.ImdsClient("ftp://x")
    assert caught.value.reason is Reason.CONFIG_INVALID


NEW = NewEni(
    token="t-1",
    subnet_id="subnet-1",
    security_groups=("sg-1", "sg-2"),
    description="aws-K8S-i-1",
    tags={"a": "b"},
    mode=AddressMode.PREFIX_IPV4,
    count=2,
    connection_tracking={"UdpTimeout": 40},
)


def test_journal_survives_the_process(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "state" / "journal.json"
    journal = FileJournal(path)
    assert journal.entries() == ()
    intent = Action(token="t-1", step=Step.INTENDED, started_unix_s=5.0, request=request_of(NEW))
    done = Action(token="t-2", step=Step.DETACHED, started_unix_s=6.0, eni_id="eni-2")
    journal.put(intent)
    journal.put(done)
    (again, other) = FileJournal(path).entries()
    assert (again.step, other) == (Step.INTENDED, done)
    assert new_eni_of(again.request) == NEW
    journal.drop("t-2")
    journal.drop("never there")
    assert [entry.token for entry in FileJournal(path).entries()] == ["t-1"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"version": "other", "actions": []}', '{"version": "vpccni-eni-journal/1"}']
)
def test_an_unreadable_journal_is_set_aside(tmp_path: pathlib.Path, text: str) -> None:
    path = tmp_path / "journal.json"
    path.write_text(text)
    assert FileJournal(path).entries() == ()
    assert (tmp_path / "journal.json.corrupt").read_text() == text


def test_a_journal_that_cannot_be_written_is_a_reason(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")
    journal = FileJournal(tmp_path / "file" / "journal.json")
    with pytest.raises(ReasonError) as caught:
        journal.put(Action(token="t", step=Step.CREATED, started_unix_s=0.0, eni_id="eni-1"))
    assert caught.value.reason is Reason.STORE_FAILED


def test_the_cut_model_has_our_actions_whole_and_nothing_else(tmp_path: pathlib.Path) -> None:
    ec2_model.write(str(tmp_path))
    session = botocore.session.Session()
    path = ec2_model.data_path(str(tmp_path), botocore.__version__)
    session.set_config_variable("data_path", str(path))
    cut = session.get_service_model("ec2")
    whole = botocore.session.Session().get_service_model("ec2")
    assert sorted(cut.operation_names) == sorted(ec2_model.ACTIONS)
    for name in ec2_model.ACTIONS:
        for shape in ("input_shape", "output_shape"):
            ours, theirs = getattr(cut.operation_model(name), shape), getattr(whole.operation_model(name), shape)
            assert (ours and sorted(ours.members)) == (theirs and sorted(theirs.members))
    client = boto3.session.Session(botocore_session=session).client(
        "ec2", region_name="us-west-2", aws_access_key_id="a", aws_secret_access_key="b"
    )
    assert client.meta.service_model.service_id == "EC2"
    client.close()
    assert len(json.dumps(ec2_model.model_file(path).read_text())) < 200_000


def read(environ: dict[str, str]) -> settings.Values:
    return settings.read(own.ALL, environ)


def test_defaults_are_the_originals() -> None:
    policy, refused = own.policy_of(read({}))
    assert refused == ()
    assert (policy.manage_untagged, policy.subnet_discovery, policy.provisioning) == (True, True, True)
    assert (policy.imds_only, policy.leaked_eni_cleanup, policy.cluster) == (False, True, "")


@pytest.mark.parametrize(
    ("environ", "provisioning", "sweep"),
    [
        ({"ENABLE_IMDS_ONLY_MODE": "true"}, False, False),
        ({"DISABLE_NETWORK_RESOURCE_PROVISIONING": "1"}, False, False),
        ({"DISABLE_LEAKED_ENI_CLEANUP": "true"}, True, False),
        ({"ENABLE_IPv6": "true"}, True, False),
        ({"ENABLE_IPv6": "TrUe"}, True, True),
    ],
)
def test_modes(environ: dict[str, str], provisioning: bool, sweep: bool) -> None:
    policy, _ = own.policy_of(read(environ))
    assert (policy.provisioning, policy.leaked_eni_cleanup) == (provisioning, sweep)


def test_bad_values_fall_back_and_are_reported() -> None:
    values = read({"HTTP_TIMEOUT": "3", "ADDITIONAL_ENI_TAGS": "{", "MANAGE_UNTAGGED_ENI": "yes"})
    assert {bad.name for bad in values.bad} == {"HTTP_TIMEOUT", "ADDITIONAL_ENI_TAGS", "MANAGE_UNTAGGED_ENI"}
    assert values[own.HTTP_TIMEOUT] == 10
    policy, refused = own.policy_of(read({"ADDITIONAL_ENI_TAGS": '{"k8s.amazonaws.com/x": "1", "team": "net"}'}))
    assert (policy.additional_tags, refused) == ({"team": "net"}, ("k8s.amazonaws.com/x",))


def test_the_sdks_own_endpoint_variables_win() -> None:
    values = read({"AWS_EC2_ENDPOINT": "http://old"})
    assert own.endpoint_of(values, {}) == "http://old"
    assert own.endpoint_of(values, {"AWS_ENDPOINT_URL": "http://new"}) == ""
