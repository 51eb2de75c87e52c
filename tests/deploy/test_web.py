"""The kustomization of docs/web.md: it fits the central overlay, and the probes and the monitor speak TLS with it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.deploy.manifests import KUBERNETES, ROOT, render

DOCS = (ROOT / "docs" / "web.md").read_text()


@pytest.mark.peer
@pytest.mark.usefixtures("kubectl")
def test_the_kustomization_of_the_docs_turns_tls_on(tmp_path: Path) -> None:
    (patches,) = re.findall(r"```text\n# kustomization\.yaml[^\n]*\n(.*?)```", DOCS, re.DOTALL)
    central = os.path.relpath((KUBERNETES / "overlays" / "central").resolve(), tmp_path.resolve())
    (tmp_path / "kustomization.yaml").write_text(f"resources: [{central}]\n{patches}")
    found = {
        made["kind"]: made["spec"] for made in render(tmp_path) if made["kind"] in {"Deployment", "ServiceMonitor"}
    }

    (container,) = found["Deployment"]["template"]["spec"]["containers"]
    (folder,) = [mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == "secrets"]
    assert container["args"][-1] == f"--web.config.file={folder}/web.yml"
    assert container["livenessProbe"]["httpGet"]["scheme"] == "HTTPS"
    assert container["readinessProbe"]["httpGet"]["scheme"] == "HTTPS"
    (endpoint,) = found["ServiceMonitor"]["endpoints"]
    assert endpoint["scheme"] == "https"
    assert endpoint["basicAuth"]["password"]["key"] == "password"
    assert endpoint["tlsConfig"]["ca"]["secret"]["key"] == "ca.crt"
