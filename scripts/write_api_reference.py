"""Write docs/reference/api.md from the OpenAPI document; with --check, fail when the page is out of date."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from covid_xray.config import Serving
from covid_xray.limits import Limits
from covid_xray.serving.app import create_app

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "api.md"
HEAD = """# API

Generated from OpenAPI by `make docs`; do not edit. A running server provides the document at `/api/v1/openapi.json`.
How to use it: [serve](../how-to/serve.md).

Every refusal is `application/problem+json` (RFC 9457): `type`, `title`, `status`, `detail` and a stable `code`. The codes for
images are those of `covid-xray predict`. Authentication: a session cookie or `Authorization: Bearer TOKEN`; while there is no user
and no token, everybody on the machine has access. `admin` only: `DELETE /api/v1/studies/{id}` and `GET /api/v1/audit`.

| status | when |
|---|---|
| 401 | authentication required |
| 403 | the role does not permit this (`not-allowed`), or the request came from another site (`cross-site`) |
| 408 | the body did not arrive in time |
| 413, 422 | too large; refused, `code` gives the reason |
| 421 | the Host name is not this server's |
| 429, 503 | too many requests; busy. `Retry-After` gives the seconds to wait |
| 507 | the store is full |
"""


def page() -> str:
    document = create_app(Serving(), SimpleNamespace(limits=Limits())).openapi()  # nothing is opened before it runs
    sections = [
        section(method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    return HEAD + "\n" + "\n".join(sections) + "\n" + examples(document)


def section(method: str, path: str, operation: dict[str, Any]) -> str:
    lines = [f"## `{method} {path}`\n", operation["description"].strip() + "\n"]
    rows = [
        f"| `{p['name']}` | {p['in']} | {p.get('description', '')} | {shown(p['schema'])} |"
        for p in operation.get("parameters", [])
    ]
    if rows:
        lines += ["| parameter | in | meaning | values |", "|---|---|---|---|", *rows, ""]
    if body := operation.get("requestBody"):
        lines.append(f"Body: {', '.join(content(body))}.\n")
    answers = [f"{status} {', '.join(content(answer))}".strip() for status, answer in operation["responses"].items()]
    lines.append("Answers: " + "; ".join(sorted(answer for answer in answers if "problem" not in answer)) + ".\n")
    return "\n".join(lines)


def shown(schema: dict[str, Any]) -> str:
    options = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    words = []
    for one in options:
        values = one.get("enum")
        words.append(", ".join(f"`{value}`" for value in values) if values else one.get("format", one.get("type", "")))
        limits = [f"{name} {one[key]}" for key, name in (("minimum", "from"), ("maximum", "to")) if key in one]
        words += limits
    default = schema.get("default")
    return " ".join([*words, f"(default `{default}`)" if default not in (None, "") else ""]).strip()


def content(part: dict[str, Any]) -> list[str]:
    found = []
    for media, about in part.get("content", {}).items():
        name = json.dumps(about).partition("#/components/schemas/")[2].partition('"')[0]
        found.append(f"{media} ([{name}](#{name.lower()}))" if name else media)
    return found


def examples(document: dict[str, Any]) -> str:
    lines = ["# Examples\n"]
    for name, schema in sorted(document["components"]["schemas"].items()):
        if schema.get("examples"):
            lines += [f"## {name}\n", schema.get("description", ""), "", "```json"]
            lines += [json.dumps(schema["examples"][0], indent=2), "```", ""]
    return "\n".join(lines)


def main() -> int:
    if "--check" not in sys.argv:
        PAGE.write_text(page(), encoding="utf-8")
        return 0
    if not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != page():
        print(f"{PAGE.name} is older than the API. Run `make docs`.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
