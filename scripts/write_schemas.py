"""Write docs/reference/*.schema.json from the models of evaluation; with --check, fail when a file is out of date."""

import json
import sys
from pathlib import Path

from covid_xray.evaluation.schema import SCHEMAS

FOLDER = Path(__file__).parent.parent / "docs" / "reference"


def schema(name: str) -> str:
    return json.dumps(SCHEMAS[name].model_json_schema(), indent=1) + "\n"


def main() -> int:
    pages = {FOLDER / f"{name}.schema.json": schema(name) for name in SCHEMAS}
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
