"""Subnet choice: the vectors of the original (role tag, cluster tags), order, and setting aside what is full."""

from __future__ import annotations

import pytest
from vpccni_eni_manager.domain import subnet_rules
from vpccni_eni_manager.domain.model import AddressMode, Subnet

K = subnet_rules.ROLE_TAG
ME, OTHER = subnet_rules.CLUSTER_TAG_PREFIX + "me", subnet_rules.CLUSTER_TAG_PREFIX + "other"
IPS, PREFIXES = AddressMode.SECONDARY_IP, AddressMode.PREFIX_IPV4


def subnet(tags: dict[str, str], name: str = "subnet-1", free: int = 100) -> Subnet:
    return Subnet(name, "vpc-1", "az-a", "10.0.1.0/24", free, tags)


@pytest.mark.parametrize(
    ("primary", "tags", "cluster", "usable", "excluded"),
    [
        (True, {}, "me", True, False),
        (True, {K: ""}, "me", True, False),
        (True, {K: "0"}, "me", False, True),
        (True, {K: "1"}, "me", True, False),
        (True, {OTHER: ""}, "me", True, False),
        (True, {K: "1", ME: "any"}, "me", True, False),
        (True, {K: "1", OTHER: ""}, "me", False, True),
        (False, {K: "1", OTHER: ""}, "me", False, True),
        (True, {K: "0", ME: ""}, "me", False, True),
        (False, {K: "0", ME: ""}, "me", False, True),
        (False, {}, "me", False, False),
        (False, {K: "1"}, "me", True, False),
        (False, {K: "xyz"}, "me", True, False),
        (False, {K: "1", ME: "", OTHER: ""}, "me", True, False),
        (False, {ME: ""}, "me", False, False),
        (False, {K: "1", OTHER: ""}, "", True, False),
        (True, {K: "1", OTHER: ""}, "", True, False),
    ],
)
def test_tag_vectors(primary: bool, tags: dict[str, str], cluster: str, usable: bool, excluded: bool) -> None:
    one = subnet(tags)
    assert (subnet_rules.refused_why(one, primary=primary, cluster=cluster) == "") is usable
    assert (subnet_rules.excluded_why(one, cluster) != "") is excluded


def test_most_free_addresses_first_and_every_refusal_has_its_reason() -> None:
    found = (
        subnet({}, "subnet-primary", 5),
        subnet({K: "1"}, "subnet-small", 20),
        subnet({K: "1"}, "subnet-big", 200),
        subnet({}, "subnet-untagged", 900),
        subnet({K: "1"}, "subnet-full", 300),
    )
    choice = subnet_rules.candidates(
        found, primary_subnet="subnet-primary", cluster="me", blocked={"subnet-full": "just refused"}
    )
    assert [one.subnet.subnet_id for one in choice if not one.refused] == [
        "subnet-big",
        "subnet-small",
        "subnet-primary",
    ]
    assert {one.subnet.subnet_id: one.refused for one in choice if one.refused} == {
        "subnet-untagged": f"no tag {K}",
        "subnet-full": "just refused",
    }
    assert "900" not in str(choice[0]) and "refused: no tag" in str(choice[0])
    assert "200 addresses free" in str(choice[2])


def test_a_subnet_without_room_is_set_aside_for_that_kind_only_and_longer_each_time() -> None:
    key = ("subnet-1", PREFIXES)
    blocks = subnet_rules.block({}, key, 1000.0, "InsufficientCidrBlocks")
    assert list(subnet_rules.blocked_now(blocks, PREFIXES, 1014.9)) == ["subnet-1"]
    assert subnet_rules.blocked_now(blocks, IPS, 1001.0) == {}
    assert subnet_rules.blocked_now(blocks, PREFIXES, 1015.0) == {}
    pauses = []
    for _ in range(6):
        blocks = subnet_rules.block(blocks, key, 0.0, "again")
        pauses.append(blocks[key].until)
    assert pauses == [30.0, 60.0, 120.0, 120.0, 120.0, 120.0]
