"""Settings: the seed's parsing rules, and every bad value reported at once."""

from __future__ import annotations

import pytest
from vpccni_kit import settings

FLAG = settings.boolean("FLAG", True, "")
COUNT = settings.integer("COUNT", 1, "", low=0, high=100, clamp_low_to=0)
MTU = settings.integer("MTU", 9001, "", low=576, high=9001)
MODE = settings.choice("MODE", "prng", ("hashrandom", "prng", "none"), "")
CIDRS = settings.ipv4_cidrs("CIDRS", "")
TAGS = settings.json_tags("TAGS", "")
ALL = (FLAG, COUNT, MTU, MODE, CIDRS, TAGS)


@pytest.mark.parametrize(
    ("raw", "value"),
    [("1", True), ("t", True), ("True", True), ("F", False), ("FALSE", False), ("", True), ("  ", True)],
)
def test_booleans_as_go_parses_them(raw: str, value: bool) -> None:
    assert settings.read(ALL, {"FLAG": raw})[FLAG] is value


def test_all_bad_values_are_reported_at_once_and_fall_back() -> None:
    got = settings.read(ALL, {"FLAG": "TrUe", "COUNT": "2O", "MTU": "10000", "MODE": "PRNG", "TAGS": "[1]"})
    assert {bad.name for bad in got.bad} == {"FLAG", "COUNT", "MTU", "MODE", "TAGS"}
    assert (got[FLAG], got[COUNT], got[MTU], got[MODE], got[TAGS]) == (True, 1, 9001, "prng", ())
    assert "576 to 9001" in str(next(bad for bad in got.bad if bad.name == "MTU"))


def test_non_positive_counts_mean_unset() -> None:
    got = settings.read(ALL, {"COUNT": "-5"})
    assert got[COUNT] == 0
    assert got.bad == ()


def test_cidr_lists_keep_the_good_items_and_name_the_bad() -> None:
    environ = {"CIDRS": "10.0.0.1/16, 2000::1/128,abcd,10.2.0.0/16,10.9.9.9"}
    assert settings.read(ALL, environ)[CIDRS] == ("10.0.0.0/16", "10.2.0.0/16")
    assert [bad.value.strip() for bad in settings.bad_cidrs("CIDRS", environ)] == ["2000::1/128", "abcd", "10.9.9.9"]


def test_tags_keep_their_limits() -> None:
    assert settings.read(ALL, {"TAGS": '{"a":"b"}'})[TAGS] == (("a", "b"),)
    for raw in ('{"a":1}', '{"' + "k" * 129 + '":"v"}', '{"k":"' + "v" * 257 + '"}', "{"):
        assert settings.read(ALL, {"TAGS": raw}).bad, raw
