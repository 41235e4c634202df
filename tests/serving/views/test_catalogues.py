"""Every message of the pages is in every catalogue, translated, with the same places to fill in."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

from covid_xray.serving.views.languages import FOLDER, LANGUAGES

ROOT = Path(__file__).parents[3]
PLACES = re.compile(r"%\(\w+\)s|%%")
OTHERS = sorted(set(LANGUAGES) - {"en"})


@pytest.fixture(scope="module")
def known() -> set[str]:
    listed = "import write_catalogues, json; print(json.dumps(sorted(write_catalogues.messages())))"
    ran = subprocess.run(
        [sys.executable, "-c", listed], cwd=ROOT / "scripts", capture_output=True, text=True, check=True
    )
    return set(json.loads(ran.stdout))


def test_five_languages_beside_english() -> None:
    assert OTHERS == ["ar", "de", "es", "fr", "zh"]


@pytest.mark.parametrize("code", OTHERS)
def test_a_catalogue_is_whole(code: str, known: set[str]) -> None:
    with (FOLDER / code / "LC_MESSAGES" / "messages.po").open("rb") as source:
        entries = {str(entry.id): str(entry.string) for entry in read_po(source) if entry.id}
    assert len(known) > 400
    assert set(entries) == known, "run python scripts/write_catalogues.py"
    assert not [message for message, text in entries.items() if not text]
    assert not [
        message for message, text in entries.items() if sorted(PLACES.findall(message)) != sorted(PLACES.findall(text))
    ]


def test_every_medical_term_has_a_line_with_its_source() -> None:
    lines = (FOLDER / "TERMS.md").read_text(encoding="utf-8").splitlines()
    table = [line.strip("|").split("|") for line in lines if line.startswith("| ") and not line.startswith("|---")]
    assert len(table) > 15
    assert all(len(row) == 7 and row[-1].strip() for row in table)
