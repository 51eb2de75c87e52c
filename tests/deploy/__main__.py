"""Write the generated manifests and the goldens of the overlays again: `make manifests`."""

from tests.deploy.manifests import ROOT, generated

for path, text in generated():
    (ROOT / path).parent.mkdir(exist_ok=True)
    (ROOT / path).write_text(text, encoding="utf-8")
    print(f"wrote {path}, {len(text.splitlines())} lines")
