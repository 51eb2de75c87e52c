"""Who answers requests: an engine, which queues, prefills and decodes, each counted when real vLLM counts it; and a
provider, of which nothing is seen but its answers.

An engine counts prompt tokens with the first output token, output tokens as they are made, seconds when a request ends.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, replace

from exporter.demo.engine import SimEngine
from exporter.demo.traffic import Request
from exporter.records import Role


@dataclass(frozen=True, slots=True)
class Speed:
    """What the hardware can do."""

    slots: int  # requests at a time
    prefill_rate: float  # tokens per second
    itl: float  # seconds per output token, of a lone request; twice that when every slot is taken
    kv_tokens: int  # that fit in the KV cache


class Worker:
    """One engine at work. Of a disaggregated pool a `prefill` worker makes one token per request and hands it on; a
    `decode` worker counts the prompt once more, as cached tokens that came by KV transfer."""

    def __init__(self, engine: SimEngine, model: str, role: Role, speed: Speed) -> None:
        self.engine = engine
        self.model = model
        self.role: Role = role
        self.up = True
        self._speed = speed
        self._queue: deque[Request] = deque()
        self._running: list[Request] = []

    @property
    def busy(self) -> int:
        """Requests it has, queued or running."""
        return len(self._queue) + len(self._running)

    def submit(self, request: Request) -> None:
        self._queue.append(request)

    def stop(self) -> None:
        """Die: whatever was under way is lost, and so is what nobody had scraped. A gateway sees failed requests and
        reports no tokens for them: what the engine had counted of them ends as `_unattributed`."""
        self.up = False
        self._queue.clear()
        self._running.clear()

    def restart(self, at: float) -> None:
        self.up = True
        self.engine.restart(at)

    def advance(self, dt: float, now: float) -> list[Request]:
        """Work for `dt` seconds up to `now` (Unix); returns what ended, which of a prefill worker goes on to decode."""
        while self._queue and len(self._running) < self._speed.slots:
            request = self._queue.popleft()
            request.admitted = now
            self._running.append(request)
        itl = self._speed.itl * (1 + len(self._running) / self._speed.slots)
        self._decode(dt / itl)
        self._prefill(dt * self._speed.prefill_rate)
        done = [request for request in self._running if request.generated >= self._wanted(request)]
        self._running = [request for request in self._running if request.generated < self._wanted(request)]
        for request in done:
            self._finish(request, itl)
        held = sum(request.prompt + request.generated for request in self._running)
        kv = min(1.0, held / self._speed.kv_tokens)
        self.engine.load(self.model, running=len(self._running), waiting=len(self._queue), kv=kv)
        if self.role != "prefill":
            return done
        return [replace(request, arrived=now, to_prefill=0.0, progress=0.0, generated=0) for request in done]

    def _wanted(self, request: Request) -> int:
        return 1 if self.role == "prefill" else request.output

    def _cached(self, request: Request) -> int:
        return request.prompt if self.role == "decode" else request.cached

    def _decode(self, steps: float) -> None:
        made: Counter[str] = Counter()
        for request in self._running:
            if request.generated:
                request.progress = min(request.progress + steps, self._wanted(request))
                made[request.source.tenant] += int(request.progress) - request.generated
                request.generated = int(request.progress)
        for tenant, tokens in made.items():
            self.engine.count(self.model, tenant=tenant, output=tokens)

    def _prefill(self, budget: float) -> None:
        for request in self._running:
            if request.generated:
                continue
            computed = min(budget, request.to_prefill)
            budget -= computed
            request.to_prefill -= computed
            if request.to_prefill > 0:
                return  # first come, first served
            request.progress = request.generated = 1
            self.engine.count(
                self.model,
                tenant=request.source.tenant,
                prompt=request.prompt,
                cached=self._cached(request),
                external=request.prompt if self.role == "decode" else 0,
                output=1,
            )

    def _finish(self, request: Request, itl: float) -> None:
        output, cached = self._wanted(request), self._cached(request)
        self.engine.finish(
            self.model,
            tenant=request.source.tenant,
            reason="length" if self.role == "prefill" else "stop",
            prompt=request.prompt,
            cached=cached,
            output=output,
            queue_seconds=request.admitted - request.arrived,
            prefill_seconds=(request.prompt - cached) / self._speed.prefill_rate,
            decode_seconds=(output - 1) * itl,
        )


class Provider:
    """Somebody else's engines: as many requests at a time as come, each token after `itl` seconds, no page."""

    def __init__(self, itl: float) -> None:
        self._itl = itl
        self._running: list[Request] = []

    def submit(self, request: Request) -> None:
        self._running.append(request)

    def advance(self, now: float) -> list[Request]:
        """What ended up to `now` (Unix seconds)."""
        done = [request for request in self._running if request.arrived + request.output * self._itl <= now]
        self._running = [request for request in self._running if request.arrived + request.output * self._itl > now]
        return done
