"""Write docs/reference/*.schema.json from the types of bundle.json, metrics.json, audit.json and manifest.json; with --check, fail when a file is out of date."""

import json
import sys
from pathlib import Path

from pydantic import TypeAdapter

from covid_xray.bundle.contents import Contents
from covid_xray.evaluation.schema import SCHEMAS

FOLDER = Path(__file__).parent.parent / "docs" / "reference"


TYPES = {**SCHEMAS, "bundle": Contents}


def schema(name: str) -> str:
    return json.dumps(TypeAdapter(TYPES[name]).json_schema(), indent=1) + "\n"


def main() -> int:
    pages = {FOLDER / f"{name}.schema.json": schema(name) for name in TYPES}
    if "--check" not in sys.argv:
        for path, text in pages.items():
            path.write_text(text, encoding="utf-8")
        return 0
    stale = [path.name for path, text in pages.items() if not path.is_file() or path.read_text("utf-8") != text]
    if stale:
        print(f"Out of date: {', '.join(stale)}. Run make docs.", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
