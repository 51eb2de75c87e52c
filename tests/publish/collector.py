"""A real receiver of OTLP over HTTP: it decodes what it gets, keeps it, and answers as it is told to."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_CUMULATIVE, Metric, NumberDataPoint

Series = tuple[str, frozenset[tuple[str, str]]]
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Push:
    """One request, decoded."""

    headers: dict[str, str]  # names in lower case
    body: ExportMetricsServiceRequest = field(repr=False)

    @property
    def metrics(self) -> list[Metric]:
        (whole,) = self.body.resource_metrics
        (scope,) = whole.scope_metrics
        assert scope.scope.name == "tokencost-exporter"
        return list(scope.metrics)

    @property
    def resource(self) -> dict[str, str]:
        attributes = self.body.resource_metrics[0].resource.attributes
        return {attribute.key: attribute.value.string_value for attribute in attributes}

    @property
    def points(self) -> dict[Series, NumberDataPoint]:
        """Every data point by metric name and attributes."""
        found: dict[Series, NumberDataPoint] = {}
        for metric in self.metrics:
            for point in points(metric):
                assert all(attribute.value.HasField("string_value") for attribute in point.attributes)
                labels = [(attribute.key, attribute.value.string_value) for attribute in point.attributes]
                series = metric.name, frozenset(labels)
                assert len(series[1]) == len(labels)
                assert series not in found
                found[series] = point
        return found

    @property
    def times(self) -> set[int]:
        """When the points say that they were measured: Unix ns."""
        return {point.time_unix_nano for point in self.points.values()}


def decoded(body: bytes) -> Push:
    return Push({}, ExportMetricsServiceRequest.FromString(body))


def points(metric: Metric) -> Iterable[NumberDataPoint]:
    if metric.HasField("gauge"):
        return metric.gauge.data_points
    assert metric.sum.is_monotonic
    assert metric.sum.aggregation_temporality == AGGREGATION_TEMPORALITY_CUMULATIVE
    return metric.sum.data_points


def number(point: NumberDataPoint) -> float:
    return point.as_int if point.HasField("as_int") else point.as_double


def numbers(pushes: Iterable[Push]) -> dict[Series, float]:
    """What a store would hold that got all of these: each series once."""
    found: dict[Series, float] = {}
    for push in pushes:
        for series, point in push.points.items():
            assert series not in found
            found[series] = number(point)
    return found


def says(status: int = 200, body: bytes = b"", *, after: str = "", encoding: str = "", **more: str) -> Answer:
    """`after`: Retry-After; `encoding`: Content-Encoding."""
    named = {"Retry-After": after, "Content-Encoding": encoding, **more}
    headers = {name: value for name, value in named.items() if value}

    async def say(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=body, headers=headers)

    return say


def rejects(rejected: int, message: str = "") -> Answer:
    partial = ExportMetricsPartialSuccess(rejected_data_points=rejected, error_message=message)
    return says(200, ExportMetricsServiceResponse(partial_success=partial).SerializeToString())


def endless(status: int = 200) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=status)
        await response.prepare(request)
        while True:
            await response.write(b"x" * 4096)
            await asyncio.sleep(0)

    return answer


def silent() -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    return answer


@dataclass
class Collector:
    """`answers`: what the next requests get, in order; those after them are taken."""

    url: str = ""
    answers: list[Answer] = field(default_factory=list)
    pushes: list[Push] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.StreamResponse:
        assert request.headers["Content-Type"] == "application/x-protobuf"
        assert request.headers["Content-Encoding"] == "gzip"  # which aiohttp has undone
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.pushes.append(Push(headers, ExportMetricsServiceRequest.FromString(await request.read())))
        answer = self.answers.pop(0) if self.answers else says()
        return await answer(request)


@asynccontextmanager
async def collecting(*answers: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[Collector]:
    """A collector on a free port."""
    collector = Collector(answers=list(answers))
    app = web.Application(client_max_size=1 << 24)
    app.router.add_post("/v1/metrics", collector.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    collector.url = f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}/v1/metrics"
    try:
        yield collector
    finally:
        await runner.cleanup()
