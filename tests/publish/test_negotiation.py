"""Accept and Accept-Encoding, as Prometheus, browsers and curl really send them, and as nobody should."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.publish.negotiation import format_for, gzip_for

PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.mark.parametrize(
    ("accept", "fmt"),
    [
        (PROMETHEUS_2, "openmetrics"),
        (PROMETHEUS_3, "openmetrics"),
        ("application/openmetrics-text", "openmetrics"),
        ('Application/OpenMetrics-Text; version="1.0.0"', "openmetrics"),
        ("application/openmetrics-text;q=0.5, text/*;q=0.1, */*", "openmetrics"),
        ("application/openmetrics-text, text/plain", "openmetrics"),
        ("application/openmetrics-text;q=0.5,text/plain;q=0.9", "text"),
        ("application/openmetrics-text;q=0.5,*/*", "text"),
        ("application/openmetrics-text;q=0", "text"),
        ("application/openmetrics-text;version=0.0.1", "text"),
        ("application/openmetrics-text;version=2.0.0", "text"),
        ("application/openmetrics-text;q=high", "text"),
        ("application/openmetrics-text;q=nan", "text"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text"),
        ("application/json", "text"),
        ("*/*", "text"),
        ("", "text"),
    ],
)
def test_format(accept: str, fmt: str) -> None:
    assert format_for(accept) == fmt


@pytest.mark.parametrize(
    ("accept_encoding", "gzip"),
    [
        ("gzip", True),
        ("gzip, deflate, br, zstd", True),
        ("GZIP;q=0.1", True),
        ("x-gzip", True),
        ("*", True),
        ("gzip;q=0.5, identity;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip;q=0, *", False),
        ("gzip;q=0.000", False),
        ("identity, gzip;q=0.5", False),
        ("gzip;q=2", False),
        ("identity", False),
        ("deflate, br", False),
        ("", False),
    ],
)
def test_gzip(accept_encoding: str, gzip: bool) -> None:
    assert gzip_for(accept_encoding) is gzip


@given(st.text(st.sampled_from(',;= q/*"0.1gzip') | st.characters()))
def test_no_header_raises(header: str) -> None:
    assert format_for(header) in {"text", "openmetrics"}
    assert gzip_for(header) in {True, False}
