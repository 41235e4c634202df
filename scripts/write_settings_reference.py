"""Write docs/reference/settings.md from the settings and their comments; with --check, fail when it is out of date."""

import ast
import sys
from pathlib import Path

from covid_xray import config

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "settings.md"
CLASSES = {"Training": "covid-xray train", "Augmentation": "`augmentation.*` of training", "Appearance":
           "`appearance.*` of training", "LungTraining": "covid-xray train-lungs", "Serving": "covid-xray serve"}  # fmt: skip
HEAD = """# Settings

Generated from `config.py` by `make docs`; do not edit. Give them in a YAML or TOML file (`--config`), as
`--set key=value` (nested: `--set augmentation.zoom=0`), or in Python as arguments. [train](../how-to/train.md) says which of
them matter.
"""


def page() -> str:
    source = Path(config.__file__).read_text(encoding="utf-8")
    tree = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}
    return HEAD + "".join(section(name, about, tree[name], source.splitlines()) for name, about in CLASSES.items())


def section(name: str, about: str, node: ast.ClassDef, lines: list[str]) -> str:
    rows = [row(name, field, lines) for field in node.body if isinstance(field, ast.AnnAssign)]
    summary = (ast.get_docstring(node) or "").splitlines()[0]
    return (
        f"\n## {about if '`' in about else f'`{about}`'}\n\n{summary}\n\n| setting | default | meaning |\n|---|---|---|\n"
        + ("".join(rows))
    )


def row(name: str, field: ast.AnnAssign, lines: list[str]) -> str:
    key = field.target.id
    default = getattr(config, name).model_fields[key].get_default()
    if isinstance(default, config.Settings):
        shown = "see below"
    elif isinstance(default, tuple):
        shown = f"`[{', '.join(map(str, default))}]`"
    else:
        shown = "none" if default is None else f"`{str(default).lower() if isinstance(default, bool) else default}`"
    return f"| `{key}` | {shown} | {meaning(field, lines).replace('|', '/')} |\n"


def meaning(field: ast.AnnAssign, lines: list[str]) -> str:
    """Return the comment behind a field, or those above it."""
    behind = lines[field.end_lineno - 1][field.end_col_offset :].partition("#")[2].strip()
    above: list[str] = []
    place = field.lineno - 2
    while lines[place].strip().startswith("#"):
        above.insert(0, lines[place].strip().lstrip("# "))
        place -= 1
    return behind or " ".join(above) or field.target.id.replace("_", " ")


def main() -> int:
    if "--check" not in sys.argv:
        PAGE.write_text(page(), encoding="utf-8")
        return 0
    if not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != page():
        print(f"{PAGE.name} is older than the settings. Run `make docs`.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
