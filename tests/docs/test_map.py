"""The pages that lead elsewhere name what exists: the architecture its files, the index every result."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def test_the_architecture_names_files_that_exist() -> None:
    page = (DOCS / "explanation" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z_/0-9]+(?:\.py|/))`", page)) - {"src/covid_xray/"}
    assert len(named) > 40
    assert not [name for name in named if not (ROOT / "src" / "covid_xray" / name).exists()]


def test_the_drawing_names_files_that_exist() -> None:
    drawing = (ROOT / "scripts" / "draw_architecture.py").read_text(encoding="utf-8")
    named = set(re.findall(r"[a-z_]+\.py", drawing.split("PREDICT = ")[1].split("WIDTH")[0]))
    there = {path.name for path in (ROOT / "src").rglob("*.py")}
    assert len(named) > 15
    assert named <= there


def test_every_result_is_in_the_index() -> None:
    index = (DOCS / "results" / "README.md").read_text(encoding="utf-8")
    pages = {path.relative_to(DOCS / "results").as_posix() for path in (DOCS / "results").rglob("*.md")}
    parts = {"README.md", *(name for name in pages if name.endswith(("checklist.md", "model_card.md")))}
    assert not [page for page in pages - parts if f"]({page})" not in index]


def test_the_reliability_page_names_tests_that_exist() -> None:
    page = (DOCS / "reference" / "reliability.md").read_text(encoding="utf-8")
    named = set(re.findall(r"tests/[a-z_/0-9]+(?:\.py)?", page)) | {
        f"tests/{name}" for name in re.findall(r"`([a-z_/]+/test_\w+\.py)`", page)
    }
    assert not [name for name in named if not (ROOT / name.replace("tests/tests/", "tests/")).exists()]
