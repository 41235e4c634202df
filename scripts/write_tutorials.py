"""Run the notebooks of docs/tutorials and write each as a page with its pictures.

    python scripts/write_tutorials.py [--output docs/tutorials] [--data FOLDER] [NAME ...]

Pictures go to `images/` beside the pages. Outputs that change from run to run (paths, seconds) are evened out.
"""

import argparse
import os
import re
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbconvert import MarkdownExporter

TUTORIALS = Path(__file__).parent.parent / "docs" / "tutorials"
NAMES = ("first-network", "how-a-score-lies", "from-network-to-ward")
HEAD = "<!-- Generated from {name}.ipynb by `make tutorials`; do not edit. -->\n\n"
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore"}


def run(path: Path, *, data: Path | None = None) -> nbformat.NotebookNode:
    """Run a notebook in a folder of its own; raise `CellExecutionError` where a cell fails."""
    notebook = nbformat.read(path, as_version=4)
    os.environ.update(QUIET)
    if data is not None:
        os.environ["COVID_XRAY_TUTORIAL_DATA"] = str(data)
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(
            notebook, timeout=1800, kernel_name="python3", resources={"metadata": {"path": folder}}
        ).execute()
    return notebook


def write(name: str, notebook: nbformat.NotebookNode, output: Path) -> Path:
    """Write the page and its pictures."""
    exporter = MarkdownExporter()
    body, resources = exporter.from_notebook_node(notebook)
    body = re.sub(r"<style scoped>.*?</style>", "", body, flags=re.DOTALL)
    (output / "images").mkdir(parents=True, exist_ok=True)
    for number, (old, content) in enumerate(sorted(resources["outputs"].items())):
        picture = f"{name}-{number}{Path(old).suffix}"
        if f"({old})" not in body:  # a second format of a picture
            continue
        (output / "images" / picture).write_bytes(content)
        body = body.replace(f"({old})", f"(images/{picture})")
    body = re.sub(r"/tmp/tmp\w+", "/tmp/covid-xray", body)
    body = "\n".join(line.rstrip() for line in body.splitlines())
    page = output / f"{name}.md"
    page.write_text(HEAD.format(name=name) + re.sub(r"\n{3,}", "\n\n", body).strip() + "\n", encoding="utf-8")
    return page


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=NAMES)
    parser.add_argument("--output", type=Path, default=TUTORIALS)
    parser.add_argument("--data", type=Path)
    args = parser.parse_args(arguments)
    for name in args.names:
        print(write(name, run(TUTORIALS / f"{name}.ipynb", data=args.data), args.output))
    return 0


if __name__ == "__main__":
    sys.exit(main())
