"""Counters about targets that are no more. Pods come and go with new addresses, so they are dropped in the end: an hour
after their target left the config, which every scrape of them has seen by then, or sooner where very many leave.
Nothing that is money or tokens is about a target. One that returns later starts again from zero, as any counter may.
"""

from __future__ import annotations

from collections.abc import Collection

from exporter.ledger import families as f
from exporter.ledger.families import Accounts
from exporter.records import NS

ABOUT_TARGETS = (f.SCRAPES, f.FAILURES, f.RESETS)  # the target is their first label
KEPT_NS = 3600 * NS
MOST_KEPT = 10_000  # targets


class Departures:
    """Which targets have accounts and are not in the config, and since when (monotonic ns, of this process)."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._since: dict[str, int] = {}

    def configure(self, targets: Collection[str], now_ns: int) -> None:
        """From now on these are the targets; those that are new have accounts at 0."""
        for target in targets:
            self._accounts[f.SCRAPES].open((target,))
            self._accounts[f.RESETS].open((target,))
        known = {labels[0] for name in ABOUT_TARGETS for labels in self._accounts[name].rows}
        self._since = {target: self._since.get(target, now_ns) for target in known.difference(targets)}

    def settle(self, now_ns: int) -> None:
        """Drop what has been kept for long enough."""
        gone = {target for target, since in self._since.items() if now_ns - since >= KEPT_NS}
        if len(self._since) > MOST_KEPT:
            gone.update(sorted(self._since, key=self._since.__getitem__)[:-MOST_KEPT])
        if not gone:
            return
        for name in ABOUT_TARGETS:
            family = self._accounts[name]
            family.drop([labels for labels in family.rows if labels[0] in gone])
        for target in gone:
            del self._since[target]
