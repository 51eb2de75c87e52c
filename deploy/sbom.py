"""The bill of materials of what is shipped, from requirements.lock: CycloneDX 1.6 (ECMA-424), JSON, on standard output.

It lists what is locked for the platform it runs on. The same lock gives the same bytes: no time and no serial number.
What the base image holds is not in it; `docker buildx build --sbom=true` lists that.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]


def bom(root: Path) -> dict[str, Any]:
    """The document, for the checkout in `root`."""
    (version,) = re.findall(r'^__version__ = "(.+)"$', (root / "exporter" / "__init__.py").read_text(), re.MULTILINE)
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": "tokencost-exporter",
                "name": "tokencost-exporter",
                "version": version,
                "purl": f"pkg:pypi/tokencost-exporter@{version}",
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            }
        },
        "components": list(components((root / "requirements.lock").read_text())),
    }


def components(lock: str) -> Iterator[dict[str, Any]]:
    """What the lock file installs here, each with the hashes of the files that it may come as."""
    for line in lock.replace("\\\n", "").splitlines():
        text, *hashes = line.partition("#")[0].split("--hash=sha256:")
        if not text.strip():
            continue
        requirement = Requirement(text)
        if requirement.marker and not requirement.marker.evaluate():
            continue
        (pin,) = requirement.specifier
        purl = f"pkg:pypi/{requirement.name}@{pin.version}"
        yield {
            "type": "library",
            "bom-ref": purl,
            "name": requirement.name,
            "version": pin.version,
            "purl": purl,
            "externalReferences": [
                {
                    "type": "distribution",
                    "url": f"https://pypi.org/project/{requirement.name}/{pin.version}/",
                    "hashes": [{"alg": "SHA-256", "content": digest.strip()} for digest in hashes],
                }
            ],
        }


if __name__ == "__main__":
    json.dump(bom(ROOT), sys.stdout, indent=2)
    sys.stdout.write("\n")
