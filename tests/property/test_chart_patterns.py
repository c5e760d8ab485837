"""The regular expressions of the chart against the services' own ``parse``: nothing malformed passes, nothing good is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vpccni_chart import patterns
from vpccni_chart.settings_table import DECLARED, Check, checks_of, refusal
from vpccni_kit.settings import Setting, bad_cidrs

SETTINGS = list({(s.name, tuple(checks_of(s))): s for settings in DECLARED.values() for s in settings}.values())
# Values that a user may well write, good and bad; and neighbours of every limit.
_WRITTEN = (
    "true false True FALSE TrUe t F 1 0 yes no on off prng hashrandom none strict standard DEBUG debug Info warn trace fatal"
    " stderr stdout StdOut /var/log/x eni veth eth eth0 lo vlan a five5 e.i 0x80 0X80 0x0 0x100000000 0xffffffff 128 -5 +5 007"
    " 4294967295 4294967296 575 576 1279 1280 9001 9002 65535 65536 1048576 1048577 86400 86401 3600 3601 10.0.0.0/8"
    ' 10.0.0.0/33 10.0.0/8 10.0.0.0 ,10.0.0.0/8, fd00::/8 {} {"a":"b"} {"a":1} {"":"b"} [1] {"a":"b","c":"d"} required'
    " auto iptables-nft 0.4.0 1.0.0 2.0.0"
    " zone=a zone=a,b=c =a zone= zone=a=b on"
)
WORDS = st.sampled_from(_WRITTEN.split())
NUMBERS = st.integers(-10, 1 << 33).map(str)
TEXTS = st.one_of(
    WORDS, NUMBERS, st.text(alphabet='abexlo0129.,/-{}":\\ ', max_size=12), WORDS.map(lambda w: w + ",1.2.3.4/5")
)


def passes(setting: Setting[Any], value: str) -> bool:
    return all(check.passes(value) for check in checks_of(setting))


def is_list(setting: Setting[Any]) -> bool:
    return setting.allowed == "comma-separated IPv4 CIDRs"


def taken(setting: Setting[Any], value: str) -> bool:
    """As the services see it; a list with a bad item counts as malformed, although it is only skipped."""
    if is_list(setting):
        return not bad_cidrs(setting.name, {setting.name: value})
    return not refusal(setting, value)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: s.name)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(value=TEXTS)
def test_what_passes_is_taken(setting: Setting[Any], value: str) -> None:
    value = value.strip()
    if value and passes(setting, value):
        assert taken(setting, value)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: s.name)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(value=st.one_of(WORDS, NUMBERS))
def test_what_is_taken_passes(setting: Setting[Any], value: str) -> None:
    if taken(setting, value):
        assert passes(setting, value)


@settings(max_examples=300, deadline=None)
@given(low=st.integers(0, 5000), span=st.integers(0, 1 << 33), around=st.integers(-3, 3), which=st.booleans())
def test_between_is_exact_at_both_ends(low: int, span: int, around: int, which: bool) -> None:
    high = low + span
    number = (high if which else low) + around
    check = Check(patterns.between(low, high), "")
    assert check.passes(str(number)) is (low <= number <= high)


@settings(max_examples=200, deadline=None)
@given(
    pairs=st.dictionaries(st.text(max_size=130), st.text(max_size=260), max_size=3),
    ascii_only=st.booleans(),
)
def test_tags(pairs: dict[str, str], ascii_only: bool) -> None:
    import json

    (setting,) = [s for s in SETTINGS if s.name == "ADDITIONAL_ENI_TAGS"]
    text = json.dumps(pairs, ensure_ascii=ascii_only)
    if all(
        ord(c) < 0x10000 for text_ in (*pairs, *pairs.values()) for c in text_
    ):  # \ud83d\ude00 counts as two in a pattern
        assert passes(setting, text) is taken(setting, text)
