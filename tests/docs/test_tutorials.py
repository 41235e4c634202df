"""The notebooks run on phantoms, and on real radiographs where there are some."""

import re
from pathlib import Path

import pytest

pytest.importorskip("nbclient", reason="nbclient is not installed")
pytest.importorskip("ipykernel", reason="ipykernel is not installed")
pytest.importorskip("tensorflow")

import write_tutorials

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore")  # of the notebook's own machinery
@pytest.mark.parametrize("name", ["first-network", "from-network-to-ward"])
def test_a_notebook_runs_on_phantoms(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COVID_XRAY_TUTORIAL_PATIENTS", "80")
    notebook = write_tutorials.run(ROOT / "docs" / "tutorials" / f"{name}.ipynb")
    page = write_tutorials.write(name, notebook, tmp_path).read_text(encoding="utf-8")
    assert "Traceback" not in page
    assert "/tmp/tmp" not in page
    assert name != "first-network" or list((tmp_path / "images").glob("*.png"))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore")
def test_the_scores_of_the_second_notebook_lie_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COVID_XRAY_TUTORIAL_PATIENTS", "60")
    notebook = write_tutorials.run(ROOT / "docs" / "tutorials" / "how-a-score-lies.ipynb")
    parts = [part for cell in notebook.cells for part in cell.get("outputs", ())]
    said = " ".join(str(part.get("data", {}).get("text/plain", "")) for part in parts)
    leak, honest, home, elsewhere, _ = (int(value) for value in re.findall(r"(\d+)%", said)[:5])
    assert leak > honest + 10
    assert home >= 90
    assert elsewhere <= 20


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.timeout(1800)
@pytest.mark.filterwarnings("ignore")
def test_the_first_notebook_runs_on_real_radiographs(real_data: Path) -> None:
    write_tutorials.run(ROOT / "docs" / "tutorials" / "first-network.ipynb", data=real_data)


def test_pages_and_notebooks_have_the_same_words() -> None:
    import nbformat

    for name in write_tutorials.NAMES:
        page = (ROOT / "docs" / "tutorials" / f"{name}.md").read_text(encoding="utf-8")
        for cell in nbformat.read(ROOT / "docs" / "tutorials" / f"{name}.ipynb", as_version=4).cells:
            assert all(line.rstrip() in page for line in cell.source.splitlines()), (name, cell.source)
