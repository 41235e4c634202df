"""Build the documentation site into build/site, strictly: a warning, a dead link or a foreign resource is an error.

    python scripts/build_site.py [--output build/site]

Pages are copied to build/docs first. The pages at the top of the repository get a folder `project/`; links to files
that are no pages (recipes, code) become their names, since the site holds pages and pictures alone.
"""

import argparse
import os
import re
import shutil
import sys
from pathlib import Path

from mkdocs.commands.build import build as make
from mkdocs.config import load_config
from mkdocs.exceptions import Abort

ROOT = Path(__file__).parent.parent
DOCS, TOP = ROOT / "docs", ("README.md", "MODEL_CARD.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
KEPT = {".md", ".png", ".jpg", ".svg", ".json", ".csv", ".ipynb"}
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
FOREIGN = re.compile(r"""<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)=["']?(https?:)?//""", re.IGNORECASE)
CSS = """/* Wide tables scroll inside the page instead of widening it; long words break. */
.md-typeset table:not([class]) { display: block; max-width: 100%; overflow-x: auto; }
.md-typeset td, .md-typeset th { overflow-wrap: anywhere; min-width: 6rem; }
.md-typeset .dataframe { display: block; max-width: 100%; overflow-x: auto; }
.md-typeset img { max-width: 100%; height: auto; }
"""


def copy_pages(target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    files = [path for path in DOCS.rglob("*") if path.is_file() and path.suffix in KEPT]
    places = {path.resolve(): target / path.relative_to(DOCS) for path in files}
    places |= {(ROOT / name).resolve(): target / "project" / name for name in TOP}
    for source, place in places.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        if source.suffix == ".md":
            place.write_text(relinked(source, place, places), encoding="utf-8")
        else:
            shutil.copy(source, place)
    (target / "site.css").write_text(CSS, encoding="utf-8")


def relinked(source: Path, place: Path, places: dict[Path, Path]) -> str:
    """Return the page with links to where the copies are; outside code blocks."""

    def moved(match: re.Match[str]) -> str:
        picture, text, link = match.groups()
        path, hash_, anchor = link.partition("#")
        if "://" in link or link.startswith("mailto:") or not path:
            return match[0]
        there = (source.parent / path).resolve()
        there = there / "README.md" if there.is_dir() else there
        if there not in places:
            return text if (source.parent / path).exists() else match[0]
        return f"{picture}[{text}]({os.path.relpath(places[there], place.parent)}{hash_}{anchor})"

    pieces = re.split(r"(^```.*?^```\s*$)", source.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return "".join(piece if number % 2 else LINK.sub(moved, piece) for number, piece in enumerate(pieces))


def foreign_resources(site: Path) -> list[str]:
    """List the pages that would load something from elsewhere."""
    pages = sorted(site.rglob("*.html"))
    return [str(page.relative_to(site)) for page in pages if FOREIGN.search(page.read_text(encoding="utf-8"))]


def build(output: Path, docs: Path) -> int:
    copy_pages(docs)
    config = load_config(str(ROOT / "mkdocs.yml"), docs_dir=str(docs), site_dir=str(output))
    config.plugins.on_startup(command="build", dirty=False)
    try:
        make(config)
    except Abort as stop:
        print(stop)
        return 1
    found = foreign_resources(output)
    print(f"Resources from elsewhere in {', '.join(found)}" if found else f"{output / 'index.html'}")
    return int(bool(found))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "site")
    args = parser.parse_args(arguments)
    return build(args.output.resolve(), args.output.resolve().parent / "docs")


if __name__ == "__main__":
    sys.exit(main())
