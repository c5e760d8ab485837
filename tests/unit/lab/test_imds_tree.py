"""The metadata tree: what is there, what is not, how directories list."""

from __future__ import annotations

import dataclasses
import json

import pytest
from vpccni_lab.ec2.credentials import access_key_of, owner_of
from vpccni_lab.ec2.model import Ec2
from vpccni_lab.ec2.records import Eni
from vpccni_lab.imds import tree


def view(kind: str = "m5.large", *, ipv6: bool = False, public: bool = False) -> tuple[tree.View, Ec2]:
    ec2 = Ec2(clock=lambda: 1_700_000_000.0, seed=2)
    vpc = ec2.create_vpc(["10.0.0.0/16", "10.1.0.0/16"], ["2001:db8:0:100::/56"] if ipv6 else [])
    subnet = ec2.create_subnet(vpc.id, "10.0.1.0/24", "us-west-2b", "2001:db8:0:100::/64" if ipv6 else None)
    node = ec2.run_instance(kind, subnet.id, public_ip="auto" if public else None, ipv6_count=1 if ipv6 else 0)
    made = tree.View(
        node,
        tuple(ec2.enis_of(node.id)),
        {s.id: s for s in ec2.subnets()},
        {v.id: v for v in ec2.vpcs()},
        {g.id: g.name for g in ec2.world.groups.values()},
        1_700_000_000.0,
    )
    return made, ec2


def text(made: tree.View, path: str) -> str | None:
    return tree.find(tree.build(made), path)


def with_eni(made: tree.View, eni: Eni) -> tree.View:
    return dataclasses.replace(made, enis=(eni,))


def test_leaves_of_the_instance() -> None:
    made, _ = view()
    assert text(made, "meta-data/instance-id") == made.instance.id
    assert text(made, "meta-data/instance-type") == "m5.large"
    assert text(made, "meta-data/local-ipv4") == made.instance.private_ip
    assert text(made, "meta-data/mac") == made.enis[0].mac
    assert text(made, "meta-data/placement/availability-zone") == "us-west-2b"
    assert text(made, "meta-data/placement/availability-zone-id") == "usw2-az2"
    assert text(made, "meta-data/placement/region") == "us-west-2"


def test_directories_list_with_slashes_sorted_with_or_without_a_trailing_slash() -> None:
    made, _ = view()
    assert text(made, "") == "dynamic/\nmeta-data/"
    assert text(made, "meta-data/network/interfaces/macs") == f"{made.enis[0].mac}/"
    assert text(made, "meta-data/network/interfaces/macs/") == f"{made.enis[0].mac}/"
    listing = (text(made, "meta-data") or "").split("\n")
    assert listing == sorted(listing)
    assert {"mac", "network/", "placement/", "iam/"} <= set(listing)


def test_fields_of_an_eni() -> None:
    made, _ = view()
    eni = dataclasses.replace(made.enis[0], secondary_ips=("10.0.1.50", "10.0.1.51"), prefixes=("10.0.1.64/28",))
    made = with_eni(made, eni)
    base = f"meta-data/network/interfaces/macs/{eni.mac}"
    assert text(made, base + "/interface-id") == eni.id
    assert text(made, base + "/device-number") == "0"
    assert text(made, base + "/local-ipv4s") == f"{eni.private_ip}\n10.0.1.50\n10.0.1.51"
    assert text(made, base + "/ipv4-prefix") == "10.0.1.64/28"
    assert text(made, base + "/subnet-ipv4-cidr-block") == "10.0.1.0/24"
    assert text(made, base + "/vpc-ipv4-cidr-blocks") == "10.0.0.0/16\n10.1.0.0/16"
    assert text(made, base + "/vpc-ipv4-cidr-block") == "10.0.0.0/16"
    assert text(made, base + "/security-group-ids") == eni.groups[0]
    assert text(made, base + "/security-groups") == "default"
    assert text(made, base + "/owner-id") == "123456789012"
    assert set((text(made, base) or "").split("\n")) == {
        "device-number", "interface-id", "ipv4-prefix", "local-hostname", "local-ipv4s", "mac", "owner-id",
        "security-group-ids", "security-groups", "subnet-id", "subnet-ipv4-cidr-block", "vpc-id",
        "vpc-ipv4-cidr-block", "vpc-ipv4-cidr-blocks",
    }  # fmt: skip


@pytest.mark.parametrize(
    "path",
    [
        "meta-data/nothing",
        "meta-data/ipv6",
        "meta-data/public-ipv4",
        "meta-data/tags/instance",
        "meta-data/mac/deeper",
        "meta-data/network/interfaces/macs/00:00:00:00:00:00",
        "meta-data/network/interfaces/macs/{mac}/ipv6s",
        "meta-data/network/interfaces/macs/{mac}/ipv4-prefix",
        "meta-data/network/interfaces/macs/{mac}/ipv6-prefix",
        "meta-data/network/interfaces/macs/{mac}/network-card",
        "meta-data/network/interfaces/macs/{mac}/subnet-ipv6-cidr-blocks",
        "meta-data/network/interfaces/macs/{mac}/public-ipv4s",
        "user-data",
    ],
)
def test_what_the_instance_lacks_is_not_found(path: str) -> None:
    made, _ = view()
    assert text(made, path.format(mac=made.enis[0].mac)) is None


def test_ipv6_and_public_addresses_appear_where_they_are() -> None:
    made, _ = view(ipv6=True, public=True)
    eni = dataclasses.replace(made.enis[0], ipv6_prefixes=("2001:db8:0:100:5::/80",))
    made = with_eni(made, eni)
    base = f"meta-data/network/interfaces/macs/{eni.mac}"
    assert text(made, "meta-data/ipv6") == eni.ipv6_addresses[0]
    assert text(made, base + "/ipv6s") == eni.ipv6_addresses[0]
    assert text(made, base + "/ipv6-prefix") == "2001:db8:0:100:5::/80"
    assert text(made, base + "/subnet-ipv6-cidr-blocks") == "2001:db8:0:100::/64"
    assert text(made, base + "/vpc-ipv6-cidr-blocks") == "2001:db8:0:100::/56"
    public = eni.public[0].public_ip
    assert text(made, "meta-data/public-ipv4") == public
    assert text(made, base + "/public-ipv4s") == public
    assert text(made, f"{base}/ipv4-associations/{public}") == eni.private_ip


def test_network_card_only_where_there_are_several() -> None:
    made, _ = view("p4d.24xlarge")
    assert text(made, f"meta-data/network/interfaces/macs/{made.enis[0].mac}/network-card") == "0"


def test_an_efa_only_eni_lists_no_addresses() -> None:
    made, _ = view("p4d.24xlarge")
    bare = dataclasses.replace(made.enis[0], private_ip="", interface_type="efa-only")
    listing = text(with_eni(made, bare), f"meta-data/network/interfaces/macs/{bare.mac}") or ""
    assert "local-ipv4s" not in listing.split("\n")


def test_the_identity_document_and_credentials_are_the_instances_own() -> None:
    made, ec2 = view()
    document = json.loads(text(made, "dynamic/instance-identity/document") or "")
    assert (document["region"], document["instanceId"]) == ("us-west-2", made.instance.id)
    role = text(made, "meta-data/iam/security-credentials")
    assert role == made.instance.role
    credentials = json.loads(text(made, f"meta-data/iam/security-credentials/{role}") or "")
    assert credentials["AccessKeyId"] == access_key_of(made.instance.id)
    assert credentials["Expiration"] == "2023-11-15T04:13:20Z"  # six hours on
    owner = owner_of(ec2.instances(), credentials["AccessKeyId"])
    assert owner is not None
    assert owner.id == made.instance.id
    assert owner_of(ec2.instances(), "ASIAOTHER") is None
