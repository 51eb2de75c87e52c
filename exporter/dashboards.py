"""The Grafana dashboards that come with the program, as files to provision and as Kubernetes ConfigMaps.

They are made with `make dashboards` in a checkout; here they are only handed out, byte for byte.
"""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from textwrap import indent

from exporter.errors import StartError

FOLDER = "tokencost"  # in Grafana
PROVIDER = f"""\
# Copy to /etc/grafana/provisioning/dashboards/, and the folder dashboards/ to the path below.
apiVersion: 1
providers:
  - name: tokencost
    folder: {FOLDER}
    type: file
    allowUiUpdates: false
    options:
      path: /var/lib/grafana/dashboards/tokencost
"""
CONFIG_MAP = """\
# For the dashboard sidecar of Grafana's Helm chart: kubectl apply --namespace NAMESPACE -f configmaps/
apiVersion: v1
kind: ConfigMap
metadata:
  name: {name}
  labels:
    grafana_dashboard: "1"
  annotations:
    grafana_folder: {folder}
data:
  {name}.json: |
{text}"""


def _shipped() -> Traversable:
    """A wheel carries the dashboards inside the package; a checkout has them beside it."""
    installed = files("exporter") / "grafana"
    return installed if installed.is_dir() else Path(__file__).resolve().parents[1] / "grafana" / "dashboards"


def dashboards() -> dict[str, str]:
    """uid -> JSON."""
    found = sorted((file for file in _shipped().iterdir() if file.name.endswith(".json")), key=lambda file: file.name)
    return {file.name.removesuffix(".json"): file.read_text(encoding="utf-8") for file in found}


def write(out: Path) -> list[Path]:
    """Write dashboards/, provisioning/ and configmaps/ under `out`; the paths written. StartError if it cannot be."""
    texts = {"provisioning/dashboards/tokencost.yml": PROVIDER}
    for uid, text in dashboards().items():
        texts[f"dashboards/{uid}.json"] = text
        config_map = CONFIG_MAP.format(name=uid, folder=FOLDER, text=indent(text, "    "))
        texts[f"configmaps/{uid}.yml"] = config_map
    try:
        for name, text in texts.items():
            path = out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StartError(f"cannot write {out}: {error.strerror}") from error
    return [out / name for name in texts]
