"""Managed rule, tags, description: the vectors of the original's own tests."""

from __future__ import annotations

import pytest
from vpccni_eni_manager.domain import managed, tags
from vpccni_eni_manager.domain.model import Eni

ME, OTHER = "i-0aaa", "i-0bbb"
OWNER, NO_MANAGE = managed.INSTANCE_ID_TAG, managed.NO_MANAGE_TAG


@pytest.mark.parametrize(
    ("eni", "untagged", "is_managed"),
    [
        (Eni(eni_id="e1", is_primary=True, tags={NO_MANAGE: "true"}), True, True),
        (Eni(eni_id="e2", tags={NO_MANAGE: "true"}), True, False),
        (Eni(eni_id="e2", tags={NO_MANAGE: "true", OWNER: ME}), True, False),
        (Eni(eni_id="e3", tags={NO_MANAGE: "false"}), True, True),
        (Eni(eni_id="e3", tags={NO_MANAGE: "True"}), True, True),
        (Eni(eni_id="e3", tags={NO_MANAGE: "false"}), False, True),
        (Eni(eni_id="e2", tags={OWNER: OTHER}), True, True),
        (Eni(eni_id="e2", tags={OWNER: OTHER}), False, False),
        (Eni(eni_id="e2", tags={OWNER: ME}), False, True),
        (Eni(eni_id="e2"), True, True),
        (Eni(eni_id="e2"), False, False),
        (Eni(eni_id="e4", interface_type="efa-only"), True, False),
        (Eni(eni_id="e4", interface_type="efa"), True, True),
        (Eni(eni_id="e5", interface_type="trunk"), True, True),
    ],
)
def test_managed(eni: Eni, untagged: bool, is_managed: bool) -> None:
    (judged,) = managed.with_managed((eni,), ME, manage_untagged=untagged)
    assert (judged.managed, bool(judged.unmanaged_why)) == (is_managed, not is_managed)


def test_judging_again_does_not_accumulate() -> None:
    enis = (Eni(eni_id="e1", is_primary=True), Eni(eni_id="e2", tags={NO_MANAGE: "true"}))
    once = managed.with_managed(enis, ME, manage_untagged=True)
    assert managed.with_managed(once, ME, manage_untagged=True) == once
    released = managed.with_managed((Eni(eni_id="e2", managed=False, unmanaged_why="x"),), ME, manage_untagged=True)
    assert released[0].managed


def test_tags_written() -> None:
    assert tags.wanted(ME, "", {}) == {OWNER: ME}
    assert tags.wanted(ME, "prod", {"team": "net"}) == {
        OWNER: ME,
        "cluster.k8s.amazonaws.com/name": "prod",
        "eks:eni:owner": "amazon-vpc-cni",
        "team": "net",
    }
    # Applied last, as in the original.
    assert tags.wanted(ME, "prod", {"eks:eni:owner": "mine"})["eks:eni:owner"] == "mine"
    assert tags.at_creation({}, 1_700_000_000.9) == {"node.k8s.amazonaws.com/createdAt": "2023-11-14T22:13:20Z"}
    assert tags.description(ME) == "aws-K8S-i-0aaa"


def test_missing_tags_are_sorted_and_leave_the_rest() -> None:
    want = {"b": "2", "a": "1", "c": "3"}
    assert list(tags.missing({}, want).items()) == [("a", "1"), ("b", "2"), ("c", "3")]
    assert tags.missing({**want, "foreign": "x"}, want) == {}
    assert tags.missing({"a": "1", "b": "old"}, want) == {"b": "2", "c": "3"}


def test_reserved_additional_keys_are_refused_one_by_one() -> None:
    usable, refused = tags.split_additional(
        (("team", "net"), ("node.k8s.amazonaws.com/x", "1"), ("my-k8s.amazonaws.com", "2"), ("team", "last"))
    )
    assert usable == {"team": "last"}
    assert refused == ("node.k8s.amazonaws.com/x", "my-k8s.amazonaws.com")


@pytest.mark.parametrize(
    ("text", "unix_s"),
    [
        ("2023-11-14T22:13:20Z", 1_700_000_000.0),
        ("2023-11-14T23:13:20+01:00", 1_700_000_000.0),
        ("2023-11-14T22:13:20", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_creation_time_is_read_with_any_zone(text: str, unix_s: float | None) -> None:
    assert tags.parse_rfc3339(text) == unix_s
