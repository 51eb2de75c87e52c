"""Addresses from outside obey the rules of those that are written down, and say no more than the config lets them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.discovery.endpoint import RefusedError, endpoint, matches
from exporter.discovery.found import TENANT, Address
from tests.discovery.given import FILES, at, spec

PODS = {"selector": "app=llama", "port": 8000}


@pytest.mark.parametrize(
    ("host", "target"),
    [
        ("10.0.0.1:8000", "http://10.0.0.1:8000/metrics"),
        ("LLAMA-0.llm.svc:8000", "http://llama-0.llm.svc:8000/metrics"),
        ("llama-0.llm.svc.", "http://llama-0.llm.svc.:80/metrics"),
        ("[fd00::1]:8000", "http://[fd00::1]:8000/metrics"),
    ],
)
def test_an_address_becomes_a_target(host: str, target: str) -> None:
    assert endpoint(spec(), at(host)).target == target


@pytest.mark.parametrize(
    "host",
    [
        "", ":8000", "a b:1", "a:http", "a:0", "a:65536", "a:99999999", "http://a:1", "a:1/metrics", "a:1/x?y",
        "u:p@a:1", "a:1#f", "a\\b:1", "a\n:1", "a:1\n", "a\x00:1", "[::1", "::1:80", "[x]:1", "[fd00::1%eth0]:80",
        "\u0430.example:1", "169.254.169.254:80", "[fe80::1]:80", "[::ffff:169.254.169.254]:80", "0xa9fea9fe:80",
        "2852039166:80", "metadata.google.internal:80", "METADATA.google.internal.:80", "[fd00:ec2::254]:80",
        "x" * 300 + ":1",
    ],
)  # fmt: skip
def test_what_is_no_address_or_is_never_read_is_refused(host: str) -> None:
    with pytest.raises(RefusedError):
        endpoint(spec(), at(host))


def test_a_link_local_address_is_read_where_the_source_may_find_one() -> None:
    cable = spec(**FILES, allow_link_local=True)
    assert endpoint(cable, at("169.254.7.7:8000")).allow_link_local
    with pytest.raises(RefusedError):
        endpoint(spec(), at("169.254.7.7:8000"))
    with pytest.raises(RefusedError):
        endpoint(cable, at("169.254.169.254:8000"))


@given(st.text(max_size=40), st.dictionaries(st.text(max_size=20), st.text(max_size=20), max_size=3))
def test_nothing_that_is_found_can_raise_anything_else(host: str, labels: dict[str, str]) -> None:
    try:
        made = endpoint(spec(), Address(host, tuple(sorted(labels.items()))))
    except RefusedError:
        return
    assert made.target.startswith(("http://", "https://"))
    assert made.target.isprintable()


def test_labels_of_prometheus_that_say_how_to_read_are_kept_to() -> None:
    labels = {"__scheme__": "https", "__metrics_path__": "/m", "__param_b": "2&3", "__param_a": "1", "job": "x"}
    assert endpoint(spec(), at("h:1", **labels)).url == "https://h:1/m?a=1&b=2%263"


@pytest.mark.parametrize(
    "labels",
    [
        {"__metrics_path__": "metrics"}, {"__metrics_path__": "/a?b"}, {"__metrics_path__": "/a b"},
        {"__metrics_path__": "/a\n"}, {"__metrics_path__": ""}, {"__scheme__": "file"}, {"__scheme__": ""},
        {"__address__": "other:1"}, {"__scrape_interval__": "1ms"},
    ],
)  # fmt: skip
def test_labels_that_cannot_be_kept_to_are_refused(labels: dict[str, str]) -> None:
    with pytest.raises(RefusedError):
        endpoint(spec(), at("h:1", **labels))


def test_a_source_cannot_have_a_secret_sent_in_the_clear() -> None:
    secret = spec(**FILES, scheme="https", bearer_token_file="/token")  # noqa: S106 - a path
    assert endpoint(secret, at("h:1")).target == "https://h:1/metrics"
    with pytest.raises(RefusedError, match="https"):
        endpoint(secret, at("h:1", __scheme__="http"))


def test_the_config_says_how_to_log_in_and_what_it_is() -> None:
    made = endpoint(spec(**FILES, path="/m", role="prefill", model="m", bearer_token_file="/token"), at("h:1"))  # noqa: S106
    assert (made.url, made.role, made.model, made.bearer_token_file) == ("http://h:1/m", "prefill", "m", "/token")


@pytest.mark.parametrize(
    ("keys", "labels", "tenant"),
    [
        (FILES, {"team": "blue", TENANT: "forged"}, None),
        ({**FILES, "tenant_from": "team"}, {"team": "blue"}, "blue"),
        ({**FILES, "tenant_from": "team"}, {}, ""),
        ({"kubernetes": {**PODS, "tenant_annotation": "llm/team"}}, {TENANT: "blue"}, "blue"),
        ({"kubernetes": {**PODS, "tenant_annotation": "llm/team"}}, {}, ""),
    ],
)
def test_the_tenant_is_what_the_config_says_it_is_read_from(
    keys: dict[str, Any], labels: dict[str, str], tenant: str | None
) -> None:
    assert endpoint(spec(**keys), at("h:1", **labels)).tenant == tenant


@pytest.mark.parametrize(
    ("match", "wanted"),
    [({}, True), ({"app": "llama.*"}, True), ({"app": "llama"}, False), ({"app": ".*", "zone": "b?"}, True),
     ({"app": ".*", "zone": ".+"}, False)],
)  # fmt: skip
def test_labels_are_matched_whole_and_a_missing_one_is_empty(match: dict[str, str], wanted: bool) -> None:
    assert matches(spec(**FILES, match=match), at("h:1", app="llama-70b")) is wanted
