"""The documentation site is built strictly, loads nothing from elsewhere, and names every page and setting."""

import json
import re
from pathlib import Path

import pytest

pytest.importorskip("mkdocs", reason="mkdocs is not installed")
pytest.importorskip("mkdocstrings", reason="mkdocstrings is not installed")

import build_site
import write_settings_reference

from covid_xray import config

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("site") / "site"
    assert build_site.build(output, output.parent / "docs") == 0
    return output


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the builder's plugins about each other
def test_no_warning_no_dead_link_nothing_from_elsewhere(site: Path) -> None:
    assert (site / "index.html").is_file()
    assert build_site.foreign_resources(site) == []
    words = json.loads((site / "search" / "search_index.json").read_text())["docs"]
    assert any("CXRClassifier" in page["text"] or "CXRClassifier" in page["title"] for page in words)


@pytest.mark.slow
def test_every_page_of_the_repository_is_on_it(site: Path) -> None:
    pages = {path.relative_to(build_site.DOCS) for path in build_site.DOCS.rglob("*.md")}
    missing = [
        str(page) for page in pages if not (site / page.with_suffix(".html")).is_file() and page.name != "README.md"
    ]
    assert missing == []


def test_a_foreign_script_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text('<script defer src="https://cdn.example/x.js"></script>')
    (tmp_path / "b.html").write_text('<a href="https://example.org">a link is no resource</a>')
    assert build_site.foreign_resources(tmp_path) == ["a.html"]


def test_links_to_code_become_words_and_links_to_pages_stay(tmp_path: Path) -> None:
    page = ROOT / "docs" / "how-to" / "train.md"
    places = {page.resolve(): tmp_path / "how-to" / "train.md",
              (ROOT / "README.md").resolve(): tmp_path / "project" / "README.md"}  # fmt: skip
    text = build_site.relinked(page, places[page.resolve()], places)
    assert "](../../runs" not in text
    assert "runs/vgg_cxr.sh" in text


def test_every_setting_has_its_line() -> None:
    assert (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8") == write_settings_reference.page()
    for name in write_settings_reference.CLASSES:
        for key in getattr(config, name).model_fields:
            assert re.search(rf"^\| `{key}` \| .+ \| .+ \|$", write_settings_reference.page(), re.MULTILINE), key


def test_each_how_to_ends_with_what_to_check() -> None:
    for name in ("networks.md", "python.md"):
        assert "**Check**" in (ROOT / "docs" / "how-to" / name).read_text(encoding="utf-8").split("\n\n")[-1]
