"""How much of an NVIDIA GPU a MIG profile is."""

from __future__ import annotations

import re

# Compute slices of a GPU where they are not 7: "Supported GPUs" in NVIDIA's MIG User Guide.
SLICES = (("A30", 4), ("RTX PRO 6000", 4), ("RTX PRO 5000", 2), ("RTX PRO 4500", 2))
PROFILE = re.compile(r"(?<!\d)(\d{1,2})[cg]\.")  # "3g.40gb", "1g.10gb+me", "MIG 1g.24gb"; "1c.2g.20gb" is 1 of its 2


def slices(profile: str, product: str) -> tuple[int, int]:
    """(compute slices of the profile, of those that the GPU has); 0 of them where the profile does not tell."""
    words = f" {product.replace('-', ' ')} "  # dcgm-exporter's --replace-blanks-in-model-name
    of = next((count for name, count in SLICES if f" {name} " in words), 7)
    found = PROFILE.search(profile)
    count = int(found[1]) if found else 0
    return (count if count <= of else 0), of
