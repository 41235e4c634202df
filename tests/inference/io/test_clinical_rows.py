"""Options and tables of `predict`: one record for all images, or one for each."""

from pathlib import Path

import pytest

from covid_xray.errors import InputRefused, UsageError
from covid_xray.inference.io.clinical_rows import ClinicalValues, read_clinical, read_records


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_options_hold_for_every_image() -> None:
    known = read_clinical({"age": "63", "symptoms": "fever,no-cough"}, None)
    assert known is not None
    assert known.lookup("a.png") == {"age": 63.0, "fever": 1.0, "cough": 0.0}
    assert read_clinical({}, None) is None


def test_a_row_is_found_by_name_by_the_end_of_a_path_and_by_file_name(tmp_path: Path) -> None:
    known = ClinicalValues({}, read_records(write(tmp_path / "t.csv", "image,Age\na/x.png,63\ny.png,40\n")))
    assert known.lookup("a/x.png") == known.lookup("/data/a/x.png") == {"age": 63.0}
    assert known.lookup("/data/b/y.png") == {"age": 40.0}
    assert known.lookup("/data/b/x.png") == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("image,spo2\na,91\nb,0.91\n", "line 3: SpO2: 0.91 looks like a fraction"),
        ("image,age\na,1\na,2\n", "line 3: the image is named twice"),
        ("image,weight\na,70\n", "the columns age"),
        ("name,age\na,70\n", "a column image"),
        ("", "no rows"),
        ("image,age\n" + "".join(f"{k},999\n" for k in range(8)), "and 3 more lines"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_with_its_lines(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputRefused, match=said):
        read_records(write(tmp_path / "t.csv", text))


def test_no_table_at_all(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="cannot be read"):
        read_records(tmp_path / "none.csv")
    (tmp_path / "b.csv").write_bytes(b"image,age\n\xff,3\n")
    with pytest.raises(InputRefused, match="UTF-8"):
        read_records(tmp_path / "b.csv")


def test_options_and_a_table_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exclude each other"):
        read_clinical({"age": "63"}, tmp_path / "t.csv")
