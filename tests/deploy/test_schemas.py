"""Every object against the API it goes to: Kubernetes by kubernetes-validate, the Prometheus Operator by its fields."""

from __future__ import annotations

from typing import Any

import kubernetes_validate
import pytest

from tests.deploy.manifests import OVERLAYS, ROOT, VERSIONS, Object, golden, objects

OPERATOR = "monitoring.coreos.com/v1"
OBJECTS = [
    pytest.param(found, id=f"{overlay}-{found['kind']}-{found['metadata']['name']}")
    for overlay in OVERLAYS
    for found in objects((ROOT / golden(overlay)).read_text())
]

# The fields of the Operator's API (its Documentation/api-reference/api.md, 0.68 and newer) that these objects may use.
LIMITS = {"sampleLimit", "labelLimit", "labelNameLengthLimit", "labelValueLengthLimit", "bodySizeLimit"}
ENDPOINT = {"port", "interval", "scrapeTimeout"}
SELECTOR = {"matchLabels", "matchExpressions"}
FIELDS: dict[str, dict[str, set[str]]] = {
    "ServiceMonitor": {"": {"jobLabel", "selector", "endpoints", *LIMITS}, "endpoints": ENDPOINT, "selector": SELECTOR},
    "PodMonitor": {
        "": {"selector", "podMetricsEndpoints", *LIMITS},
        "podMetricsEndpoints": ENDPOINT,
        "selector": SELECTOR,
    },
    "PrometheusRule": {"": {"groups"}},
}


@pytest.mark.parametrize("found", OBJECTS)
@pytest.mark.parametrize("version", VERSIONS)
def test_the_api_knows_it(found: Object, version: str) -> None:
    if found["apiVersion"] == OPERATOR:
        assert_known(found["spec"], FIELDS[found["kind"]])
    else:
        assert kubernetes_validate.validate(found, version, strict=True) == version


def assert_known(spec: dict[str, Any], fields: dict[str, set[str]]) -> None:
    assert spec.keys() <= fields[""]
    for key in fields.keys() & spec.keys():
        for part in spec[key] if isinstance(spec[key], list) else [spec[key]]:
            assert part.keys() <= fields[key]


def test_a_misspelt_field_is_an_error() -> None:
    """What strict validation is for: the API server would drop it without a word."""
    (deployment,) = [
        found for found in objects((ROOT / golden("central")).read_text()) if found["kind"] == "Deployment"
    ]
    deployment["spec"]["template"]["spec"]["containers"][0]["readOnlyRootFilesystem"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, VERSIONS[-1], strict=True)
