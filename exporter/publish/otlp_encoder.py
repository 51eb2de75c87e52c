"""From a View to OTLP: the catalog's metrics as ExportMetricsServiceRequests of a bounded size.

Counters are monotonic cumulative sums that began with the ledger: a restart does not break them. Names are those of
/metrics, `_total` and units included: OpenTelemetry's "Prometheus and OpenMetrics Compatibility" wants them unaltered.
A receiver that adds such suffixes adds none that a name has, so whether it does or not, it stores the same names.

Points are written in protobuf's own encoding (https://protobuf.dev/programming-guides/encoding), where fields one after
the other are a message: attributes repeat and are serialized once a push, what else a point has is of fixed width. With
a message object for each point it takes four times as long; with the SDK's data model and encoder, ten times.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from operator import getitem
from struct import Struct

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_CUMULATIVE,
    Gauge,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.sdk.resources import OTELResourceDetector, Resource

from exporter import __version__
from exporter.publish import catalog
from exporter.publish.catalog import exposed
from exporter.publish.snapshot import values
from exporter.publish.view import View
from exporter.records import NS

REQUEST_BYTES = 1_000_000  # of points, and one point more: some 5,000; receivers take 4 MB and more
SCOPE = "tokencost-exporter"

# UCUM, by the end of the name; the first that fits. What a name counts stands in braces, from which receivers make no
# suffix. So does the hour: from `/h` they would make a second `_per_hour`.
UNITS: Mapping[str, str] = {
    "_usd": "{USD}",
    "_usd_per_hour": "{USD}/{hour}",
    "_usd_per_output_token": "{USD}/{token}",
    "_usd_per_token": "{USD}/{token}",
    "_bytes": "By",
    "_celsius": "Cel",
    "_gpus": "{gpu}",
    "_joules": "J",
    "_ratio": "1",
    "_requests": "{request}",
    "_requests_running": "{request}",
    "_requests_waiting": "{request}",
    "_seconds": "s",
    "_tokens": "{token}",
    "_watts": "W",
}
LENGTH_DELIMITED, FIXED_64 = 2, 1  # protobuf's wire types
INT, DOUBLE = Struct("<Bq"), Struct("<Bd")
AS_INT = NumberDataPoint.AS_INT_FIELD_NUMBER << 3 | FIXED_64
AS_DOUBLE = NumberDataPoint.AS_DOUBLE_FIELD_NUMBER << 3 | FIXED_64


def unit(metric: catalog.Metric) -> str:
    """Its unit as OpenTelemetry writes it; "" for what has none."""
    name = metric.name.removesuffix("_total")
    return next((unit for end, unit in UNITS.items() if name.endswith(end)), "")


def resource(given: Mapping[str, str], ledger_id: str) -> Resource:
    """Who is speaking: as the config says, else the environment (OTEL_RESOURCE_ATTRIBUTES, OTEL_SERVICE_NAME).

    An instance is a ledger: its counters are the same series whichever process goes on with them.
    """
    ours = {"service.name": "tokencost-exporter", "service.version": __version__}
    if ledger_id:
        ours["service.instance.id"] = ledger_id
    return Resource(ours).merge(OTELResourceDetector().detect()).merge(Resource(given))


class Encoder:
    """Encodes what one ledger's books say. `began`: Unix seconds at which its counters were zero; 0: not known."""

    def __init__(self, given: Mapping[str, str], ledger_id: str, began: int) -> None:
        attributes = resource(given, ledger_id).attributes
        said = resource_pb2.Resource(attributes=[_attribute(key, str(value)) for key, value in attributes.items()])
        self._resource = ResourceMetrics(resource=said).SerializeToString()
        self._scope = ScopeMetrics(scope=InstrumentationScope(name=SCOPE, version=__version__)).SerializeToString()
        self._began_ns = began * NS

    def requests(self, view: View) -> Iterator[bytes]:
        """All that the view says, serialized. Each takes milliseconds: ask for them in a worker thread."""
        attributes = {label: _Attributes(label) for metric in view.catalog for label in metric.labels}
        metrics: list[bytes] = []
        size = 0
        for metric in view.catalog:
            points: list[bytes] = []
            for point in self._points(metric, view, [attributes[label] for label in metric.labels]):
                points.append(point)
                size += len(point)
                if size >= REQUEST_BYTES:
                    yield self._request([*metrics, _metric(metric, points)])
                    metrics, points, size = [], [], 0
            if points:
                metrics.append(_metric(metric, points))
        if metrics:
            yield self._request(metrics)

    @staticmethod
    def rejected(body: bytes) -> int:
        """How many points a receiver that answered 200 did not take; 0 for an answer that is none of OTLP's."""
        try:
            return ExportMetricsServiceResponse.FromString(body).partial_success.rejected_data_points
        except DecodeError:
            return 0

    def _request(self, metrics: list[bytes]) -> bytes:
        scope = self._scope + b"".join(_field(ScopeMetrics.METRICS_FIELD_NUMBER, metric) for metric in metrics)
        whole = self._resource + _field(ResourceMetrics.SCOPE_METRICS_FIELD_NUMBER, scope)
        return _field(ExportMetricsServiceRequest.RESOURCE_METRICS_FIELD_NUMBER, whole)

    def _points(self, metric: catalog.Metric, view: View, attributes: list[_Attributes]) -> Iterator[bytes]:
        """Each of the metric's points as a field of a Sum or a Gauge: they have the same number in both."""
        at = NumberDataPoint(time_unix_nano=view.at.wall_ns)
        if metric.type == "counter":  # a clock that was set back since must not make it begin in the future
            at.start_time_unix_nano = min(self._began_ns, view.at.wall_ns)
        at.attributes.extend(_attribute(name, value) for name, value in metric.fixed)
        same = at.SerializeToString()
        for value, labels in values(view, metric):
            number = exposed(value, metric.scale)
            whole = isinstance(number, int) and number < 2**63
            last = INT.pack(AS_INT, number) if whole else DOUBLE.pack(AS_DOUBLE, number)
            point = b"".join((*map(getitem, attributes, labels), same, last))
            yield _head(Sum.DATA_POINTS_FIELD_NUMBER, len(point)) + point


class _Attributes(dict[str, bytes]):
    """The values of one label as attributes of a point, serialized when first seen."""

    def __init__(self, label: str) -> None:
        super().__init__()
        self._label = label

    def __missing__(self, value: str) -> bytes:
        made = NumberDataPoint(attributes=[_attribute(self._label, value)]).SerializeToString()
        self[value] = made
        return made


def _attribute(key: str, value: str) -> KeyValue:
    """As on the page, what UTF-8 cannot hold is written in escapes rather than lost."""
    return KeyValue(key=key, value=AnyValue(string_value=value.encode(errors="backslashreplace").decode()))


def _metric(metric: catalog.Metric, points: list[bytes]) -> bytes:
    head = Metric(name=metric.name, description=metric.help, unit=unit(metric)).SerializeToString()
    if metric.type == "gauge":
        return head + _field(Metric.GAUGE_FIELD_NUMBER, Gauge().SerializeToString() + b"".join(points))
    kind = Sum(aggregation_temporality=AGGREGATION_TEMPORALITY_CUMULATIVE, is_monotonic=True)
    return head + _field(Metric.SUM_FIELD_NUMBER, kind.SerializeToString() + b"".join(points))


def _field(number: int, content: bytes) -> bytes:
    return _head(number, len(content)) + content


@lru_cache(1024)
def _head(number: int, length: int) -> bytes:
    """What stands before a field's content: its number and wire type, and the length as a varint."""
    head = bytearray([number << 3 | LENGTH_DELIMITED])
    while length > 0x7F:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return bytes(head)
