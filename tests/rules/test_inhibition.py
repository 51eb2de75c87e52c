"""What the real Alertmanager holds back while something else fires, with the config in rules/."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from exporter.rules.settings import TABLE
from tests.conftest import require_peer
from tests.peers.process import program
from tests.peers.waiting import eventually

pytestmark = pytest.mark.peer

CONFIG = Path(__file__).resolve().parents[2] / "rules" / "alertmanager.yml"
Alert = tuple[str, str]  # name, and labels as name=value,...


LAST = (("BudgetExhausted", "job=last,budget=last"), ("BudgetBurnRateSlow", "job=last,budget=last"))


def _labels(alert: Alert) -> dict[str, str]:
    name, labels = alert
    more = dict(pair.split("=") for pair in labels.split(","))
    return {"alertname": f"Tokencost{name}", "severity": TABLE[name].severity, **more}


def _key(labels: dict[str, str]) -> str:
    return json.dumps(labels, sort_keys=True)


class Alertmanager:
    """The running program."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self._alerts = f"{url}/api/v2/alerts"
        self._http = http

    async def held_back(self, *alerts: Alert) -> list[Alert]:
        """Those of these alerts that nobody is told about while all of them fire."""
        # They are worked off in order: when the last pair is seen for what it is, so are those before it.
        posted = [{"labels": _labels(alert)} for alert in (*alerts, *LAST)]
        async with self._http.post(self._alerts, json=posted) as answer:
            assert answer.status == 200, await answer.text()
        seen = await eventually(self._seen, "all are known", until=lambda seen: seen.get(_key(_labels(LAST[1]))))
        return [alert for alert in alerts if seen[_key(_labels(alert))]]

    async def _seen(self) -> dict[str, bool]:
        async with self._http.get(self._alerts) as answer:
            alerts = await answer.json()
        return {_key(alert["labels"]): bool(alert["status"]["inhibitedBy"]) for alert in alerts}


@asynccontextmanager
async def alertmanager(folder: Path) -> AsyncIterator[Alertmanager]:
    """Run it on a free port."""
    name = next((name for name in ("prometheus-alertmanager", "alertmanager") if shutil.which(name)), None)
    require_peer(name, "Alertmanager (Debian: apt-get install prometheus-alertmanager): inhibition was NOT tested")
    command = [
        str(name), f"--config.file={CONFIG}", f"--storage.path={folder}", "--web.listen-address=127.0.0.1:0",
        "--cluster.listen-address=", "--log.format=json",
    ]  # fmt: skip
    async with program(command, folder / "log") as running, aiohttp.ClientSession() as http:

        async def address() -> str | None:
            lines = (json.loads(line) for line in running.output().rpartition("\n")[0].splitlines())
            return next((line["address"] for line in lines if line.get("msg") == "Listening on"), None)

        yield Alertmanager(f"http://{await eventually(address, 'it names its address', process=running)}", http)


ACME, OTHER = "job=tokencost,budget=acme", "job=tokencost,budget=other"
BUDGET = ("BudgetBurnRateFast", "BudgetBurnRateSlow", "BudgetForecastExceeded", "BudgetNearlyExhausted")


@pytest.mark.parametrize(
    ("source", "others", "held"),
    [
        (("BudgetExhausted", ACME), [(name, ACME) for name in BUDGET], [(name, ACME) for name in BUDGET]),
        (("BudgetExhausted", ACME), [(name, OTHER) for name in BUDGET], [("BudgetBurnRateSlow", OTHER)]),
        (("BudgetExhausted", ACME), [("BudgetBurnRateFast", ACME.replace("job=", "cluster=b,job="))], []),
        (("BudgetBurnRateFast", ACME), [("BudgetBurnRateSlow", ACME), ("BudgetForecastExceeded", ACME)],
         [("BudgetBurnRateSlow", ACME)]),
        (("BudgetBurnRateFast", ACME), [("BudgetBurnRateSlow", OTHER), ("BudgetExhausted", ACME)],
         [("BudgetBurnRateFast", ACME)]),
        # Alerts without a budget have the same budget, none: they must not silence each other.
        (("BudgetExhausted", "job=tokencost"), [("BudgetBurnRateFast", "job=tokencost")], []),
        (("UnattributedCostHigh", "job=tokencost,pool=a"),
         [("EngineGatewayGap", "job=tokencost,pool=a"), ("EngineGatewayGap", "job=tokencost,pool=b")],
         [("EngineGatewayGap", "job=tokencost,pool=a")]),
        (("ExporterDown", "job=tokencost,instance=a"),
         [("SpendAnomaly", "job=tokencost,tenant=t"), ("IdleCostHigh", "job=tokencost,pool=a"),
          ("SpendAnomaly", "job=other,tenant=t"), ("BudgetBurnRateFast", ACME),
          ("StateNotPersisted", "job=tokencost,instance=b")],
         [("SpendAnomaly", "job=tokencost,tenant=t"), ("IdleCostHigh", "job=tokencost,pool=a")]),
    ],
    ids=["exhausted", "other budget", "other cluster", "fast", "not the other way", "no budget", "same tokens", "down"],
)  # fmt: skip
async def test_inhibition(source: Alert, others: Sequence[Alert], held: Sequence[Alert], tmp_path: Path) -> None:
    async with alertmanager(tmp_path) as running:
        assert await running.held_back(source, *others) == held
