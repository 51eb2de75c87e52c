"""Write the dashboards again: `make dashboards`."""

from __future__ import annotations

from pathlib import Path

from exporter.dashboards import write
from grafana.build import rendered
from grafana.debug import DEBUG
from grafana.executive import EXECUTIVE
from grafana.health import HEALTH
from grafana.oncall import ONCALL

HERE = Path(__file__).resolve().parent
BOARDS = (EXECUTIVE, ONCALL, DEBUG, HEALTH)


def main() -> None:
    for board in BOARDS:
        (HERE / "dashboards" / f"{board.uid}.json").write_text(rendered(board), encoding="utf-8")
    for path in write(HERE):
        print(f"wrote {path.relative_to(HERE.parent)}")  # noqa: T201


if __name__ == "__main__":
    main()
