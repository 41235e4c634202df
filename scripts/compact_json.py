"""Write JSON that a person can read and a diff can show: an object or list that fits on one line stays on one line."""

import json
from pathlib import Path
from typing import Any

WIDTH = 160


def compact_json(facts: Any, *, width: int = WIDTH, indent: int = 0) -> str:
    """Format JSON data, one line for every object or list that fits into `width` characters.

    Args:
        facts: anything that `json.dumps` accepts.
        width: characters of a line, indentation included.
        indent: spaces in front of the closing bracket.
    """
    flat = json.dumps(facts, ensure_ascii=False)
    if indent + len(flat) <= width or not isinstance(facts, dict | list) or not facts:
        return flat
    inner = " " * (indent + 1)
    if isinstance(facts, dict):
        lines = [f"{json.dumps(str(k))}: {compact_json(v, width=width, indent=indent + 1)}" for k, v in facts.items()]
        left, right = "{}"
    else:
        lines = [compact_json(value, width=width, indent=indent + 1) for value in facts]
        left, right = "[]"
    return f"{left}\n{inner}" + f",\n{inner}".join(lines) + f"\n{' ' * indent}{right}"


def rounded(facts: Any, *, digits: int = 6) -> Any:
    """Copy JSON data with every float rounded to `digits` significant digits."""
    if isinstance(facts, float):
        return float(f"{facts:.{digits}g}")
    if isinstance(facts, dict):
        return {key: rounded(value, digits=digits) for key, value in facts.items()}
    return [rounded(value, digits=digits) for value in facts] if isinstance(facts, list | tuple) else facts


def write_compact_json(path: Path, facts: Any, *, width: int = WIDTH) -> None:
    """Write `facts` to `path` with a newline at the end."""
    path.write_text(compact_json(facts, width=width) + "\n", encoding="utf-8")
