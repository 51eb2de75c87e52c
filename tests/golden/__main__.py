"""Write the goldens again: `make golden`."""

import asyncio
import tempfile
from pathlib import Path

from exporter.config.json_schema import schema_json
from tests.golden.run import produce

HERE = Path(__file__).parent

with tempfile.TemporaryDirectory() as folder:
    for name, text in asyncio.run(produce(Path(folder))).items():
        (HERE / name).write_text(text, encoding="utf-8")
        print(f"wrote tests/golden/{name}, {len(text.splitlines())} lines")
schema = HERE.parents[1] / "exporter" / "config" / "tokencost.schema.json"
schema.write_text(schema_json(), encoding="utf-8")
print(f"wrote {schema.relative_to(HERE.parents[1])}")
