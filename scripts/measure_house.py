"""Measure the layout of the source tree: folders, lines, names, functions, and the files that run for one prediction.

    python scripts/measure_house.py [REVISION ...] [--write]

Prints a Markdown table with a column for each git revision; `.` is the working tree, and the default. With --write the
table replaces the block in docs/decisions/0011-moving-house.md.
"""

import argparse
import ast
import io
import re
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "decisions" / "0011-moving-house.md"
SHORT = 40  # lines of a module that hardly deserves a file
DRAW = """
import sys
import numpy as np
from PIL import Image
from covid_xray.images.phantoms.phantom import draw, draw_anatomy
radiograph = draw(draw_anatomy(np.random.default_rng(1), child=False), finding="covid", seed=1)
Image.fromarray(radiograph.pixels).save(sys.argv[1])
"""
# Runs in a process of its own on the tree that is measured. Counts a file when one of its functions runs; what an
# import does alone does not count.
PROBE = """
import json, sys, threading
ran = {}
def profile(frame, event, argument):
    code = frame.f_code
    if event == "call" and code.co_flags & 2 and "/covid_xray/" in code.co_filename:  # 2: functions, no class bodies
        ran.setdefault(code.co_filename.rpartition("/covid_xray/")[2])
threading.setprofile(profile)
sys.setprofile(profile)
from covid_xray.cli import main
sys.argv = ["covid-xray", "predict", sys.argv[1]]
try:
    main()
except SystemExit:
    pass
sys.setprofile(None)
print("RAN " + json.dumps(list(ran)))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("revisions", nargs="*", default=["."])
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    text = table({name: measured_at(name) for name in options.revisions})
    print(text)
    if options.write:
        block = f"<!-- figures -->\n{text}\n<!-- /figures -->"
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(
            re.sub("<!-- figures -->.*?<!-- /figures -->", lambda _: block, page, flags=re.S), encoding="utf-8"
        )


def measured_at(revision: str) -> dict[str, str]:
    """Measure a git revision, or the working tree for `.`."""
    if revision == ".":
        return measured(ROOT / "src")
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(["git", "archive", revision, "src"], cwd=ROOT, capture_output=True, check=True)
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
            tar.extractall(folder, filter="data")
        return measured(Path(folder) / "src")


def measured(source: Path) -> dict[str, str]:
    """Map each figure to its value."""
    modules = sorted((source / "covid_xray").rglob("*.py"))
    texts = {path: path.read_text(encoding="utf-8") for path in modules}
    own = {path: text for path, text in texts.items() if path.name not in ("__init__.py", "__main__.py")}
    folders = Counter(str(path.parent.relative_to(source / "covid_xray")) for path in own)
    lengths = [length for text in texts.values() for length in functions(text)]
    homonyms = same_names(own)
    ran = files_of_a_prediction(source)
    largest = ", ".join(f"`{name}/` {count}" for name, count in folders.most_common(3))
    return {
        "Python files": f"{len(modules)}",
        "lines of Python": f"{sum(text.count(chr(10)) for text in texts.values()):,}",
        "folders that hold modules": f"{len(folders)}",
        "largest folders (modules)": largest,
        "folders with more than 20 modules": f"{sum(count > 20 for count in folders.values())}",
        f"modules under {SHORT} lines": f"{sum(text.count(chr(10)) < SHORT for text in own.values())}",
        "functions; median length in lines; over 50 lines": (
            f"{len(lengths):,}; {median(lengths):g}; {sum(length > 50 for length in lengths)}"
        ),
        "public names defined in several modules": f"{len(homonyms)} ({sum(map(len, homonyms.values()))} definitions)",
        "most frequent of them": ", ".join(f"`{name}` {len(places)}" for name, places in list(homonyms.items())[:8]),
        'accesses by string key (`x["key"]`)': f"{sum(string_keys(text) for text in texts.values()):,}",
        "messages of the form `expected ... Received: ...`": f"{sum(old_messages(text) for text in texts.values())}",
        "files whose functions run for one `predict`": f"{len(ran)}",
    }


def functions(text: str) -> Iterator[int]:
    """Yield the length of every function, in lines."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.end_lineno - node.lineno + 1


def same_names(texts: dict[Path, str]) -> dict[str, list[str]]:
    """Map public functions and classes that several modules define at their top level to those modules."""
    found: dict[str, list[str]] = defaultdict(list)
    for path, text in texts.items():
        for node in ast.parse(text).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith(
                "_"
            ):
                found[node.name].append(path.stem)
    several = {name: places for name, places in found.items() if len(places) > 1}
    return dict(sorted(several.items(), key=lambda item: (-len(item[1]), item[0])))


def string_keys(text: str) -> int:
    """Count subscripts with a string constant."""
    return sum(
        isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str)
        for node in ast.walk(ast.parse(text))
    )


def old_messages(text: str) -> int:
    """Count string literals that begin with `expected ` and contain `Received: `."""
    found, inside = 0, set()
    for node in ast.walk(ast.parse(text)):  # an f-string comes before its parts
        if isinstance(node, ast.JoinedStr):
            inside.update(map(id, node.values))
            whole = "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
        else:
            whole = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
        found += id(node) not in inside and whole.startswith("expected ") and "Received: " in whole
    return found


def files_of_a_prediction(source: Path) -> list[str]:
    """List the files whose functions run for `covid-xray predict PHANTOM --json`."""
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "phantom.png"
        subprocess.run([sys.executable, "-c", DRAW, image], check=True, env={"PYTHONPATH": str(ROOT / "src")})
        done = subprocess.run(
            [sys.executable, "-c", PROBE, image],
            env={"PYTHONPATH": str(source)}, capture_output=True, text=True, check=True,
        )  # fmt: skip
    return re.findall(r'"([^"]+)"', done.stdout.rpartition("RAN ")[2])


def table(columns: dict[str, dict[str, str]]) -> str:
    """Format the figures as a Markdown table with a column for each revision."""
    heads = ["figure", *("working tree" if name == "." else name for name in columns)]
    rows = [[name, *(column[name] for column in columns.values())] for name in next(iter(columns.values()))]
    return "\n".join("| " + " | ".join(row) + " |" for row in [heads, ["---"] * len(heads), *rows])


if __name__ == "__main__":
    main()
