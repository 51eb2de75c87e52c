"""Whose use it is: one name per tenant, a bounded number of them, and money for names beyond the bound in `_other`.

Models are bounded likewise: behind some gateways a client may call a model what it likes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Lock

from exporter.config.schema import Endpoint, FoundEndpoint, Pool, Tenants
from exporter.metering.labels import given, safe
from exporter.records import DEFAULT_TENANT, OTHER, UNATTRIBUTED, Series

_RESERVED = frozenset({DEFAULT_TENANT, UNATTRIBUTED, OTHER})


MOST_MODELS = 1000


class Models:
    """Names of models that may have series of their own: configured ones always, others first come, first served."""

    def __init__(self, configured: Iterable[str], admitted: Iterable[str]) -> None:
        self._always = frozenset(configured)
        self._admitted = set(admitted) - self._always

    def admit(self, name: str) -> str:
        """The name to book under: the model's own, or `_other` when the bound is reached."""
        if name in self._always or name in self._admitted:
            return name
        if len(self._admitted) >= MOST_MODELS:
            return OTHER
        self._admitted.add(name)
        return name


class Admission:
    """Names that may have series of their own: configured ones always, others first come, first served, for good."""

    def __init__(self, config: Tenants, configured: Iterable[str], admitted: Iterable[str]) -> None:
        self._limit = config.limit
        self._aliases = config.aliases
        self._always = _RESERVED | {config.aliases.get(name, name) for name in (*config.known, *configured)}
        self._admitted = set(admitted) - self._always
        self._lock = Lock()  # large pages are metered in a worker thread

    def admit(self, name: str) -> str:
        """The name to book under: the tenant's own, or `_other` when the bound is reached."""
        if name in self._always or name in self._admitted:
            return name
        with self._lock:
            if name in self._admitted:
                return name
            if len(self._admitted) + len(self._always - _RESERVED) >= self._limit:
                return OTHER
            self._admitted.add(name)
            return name

    def of_server(self, pool: Pool, server: Endpoint) -> Callable[[Series], str]:
        """How to tell whose a series of that server is: what is said of the server wins over what is of its pool."""
        if isinstance(server, FoundEndpoint) and server.tenant is not None:
            fixed = self._named(given(server.tenant))
            return lambda _series: fixed
        tenant = server.tenant or pool.tenant
        if tenant is not None:
            fixed = self._aliases.get(tenant, tenant)
            return lambda _series: fixed
        return self.by_label(pool.tenant_label) if pool.tenant_label else lambda _series: DEFAULT_TENANT

    def by_label(self, labels: tuple[str, ...]) -> Callable[[Series], str]:
        """The tenant named by the first of those labels that is set; `_unattributed` where none is."""

        def tenant(series: Series) -> str:
            return self._named(next((value for label in labels if (value := given(series.label(label)))), ""))

        return tenant

    def _named(self, name: str) -> str:
        """Whom a word from outside names; it must not be able to pose as one of our own names."""
        name = safe(self._aliases.get(name, name))
        return self.admit(name) if name and name not in _RESERVED else UNATTRIBUTED
