"""Rows of answers: whole, exact, the same facts in JSON and CSV, and resumable after any interruption."""

import csv
import dataclasses
import io
import json
from pathlib import Path

import pytest

from covid_xray.errors import Busy, InputRefused, UsageError
from covid_xray.files import shown
from covid_xray.inference.finding import CANNOT_SAY, Failure, Finding, ModelIdentity, SiteCheck
from covid_xray.inference.io.results import Answer, RowFile, as_dict, as_row, columns, csv_line, json_line
from support.bundles import CLASSES

IDENTITY = ModelIdentity("small", "1", "ab" * 32)
OTHER = ModelIdentity("small", "2", "cd" * 32)
NAMES = [
    "plain.png",
    "two\nlines.png",
    "carriage\rreturn.png",
    'quo"ted, and comma.png',
    "[red]mark[/]up.png",
    "not-utf8-\udcff.png",
    "é漢字.png",
    " leading and trailing ",
    "=1+1.png",
    '"',
    "a\nb.png",
    "a b.png",
]


def finding(image: str, **changes: object) -> Finding:
    plain = Finding(
        image=image,
        probabilities=dict(zip(CLASSES, (0.1234567, 0.8, 0.0765433), strict=True)),
        label="normal",
        reasons=(),
        prediction_set=("normal",),
        gate={"view": "frontal"},
        operating_points={"covid": {"rule-out": True, "rule-in": False}},
        model=IDENTITY,
    )
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


ANSWERS: list[Answer] = [
    answer for name in NAMES for answer in (finding(name), Failure(name + "?", "truncated", "expected x. Received: y"))
]


def write(path: Path, answers: list[Answer], *, resume: bool = False) -> bytes:
    with RowFile(path, identity=IDENTITY, classes=CLASSES, resume=resume) as rows:
        for answer in answers:
            if shown(answer.image) not in rows.done:
                rows.write(answer)
    return path.read_bytes()


@pytest.fixture(params=["predictions.csv", "predictions.jsonl"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / "deep" / str(request.param)


def test_keys_of_the_json_form() -> None:
    keys = [
        "image",
        "label",
        "probabilities",
        "ill",
        "prediction_set",
        "operating_points",
        "gate",
        "lungs",
        "reasons",
        "model",
        "site",
        "error",
    ]
    assert list(as_dict(finding("a"), identity=IDENTITY)) == keys
    assert list(as_dict(Failure("a", "empty", "m"), identity=IDENTITY)) == keys


def test_warnings_about_a_file_are_told_by_code() -> None:
    answer = finding("a", warnings=("mirrored", "no-preamble"))
    assert as_dict(answer, identity=IDENTITY)["warnings"] == ["mirrored", "no-preamble"]
    assert columns(CLASSES)[-1] == "warnings"
    assert as_row(answer, identity=IDENTITY, classes=CLASSES)[-1] == "mirrored|no-preamble"
    assert as_row(finding("b"), identity=IDENTITY, classes=CLASSES)[-1] == ""


def test_a_finding_as_data() -> None:
    facts = as_dict(finding("a"), identity=IDENTITY)
    assert facts["probabilities"] == {"covid": 0.123457, "normal": 0.8, "virus": 0.076543}
    assert (facts["label"], facts["prediction_set"], facts["error"]) == ("normal", ["normal"], None)
    assert facts["model"] == {"name": "small", "version": "1", "sha256": "ab" * 32}


def test_every_answer_says_where_the_network_was_checked(path: Path) -> None:
    """`null`, or name, verdict and hash; and a file is not gone on with at another site, or without one."""
    site = SiteCheck("A, B", "fit", "cd" * 32)
    assert as_dict(finding("a"), identity=IDENTITY)["site"] is None
    facts = as_dict(finding("a", site=site), identity=IDENTITY)
    assert facts["site"] == {"name": "A, B", "verdict": "fit", "sha256": "cd" * 32}
    ended = dataclasses.replace(site, ended="2026-01-01")
    assert as_dict(finding("a", site=ended), identity=IDENTITY)["site"]["ended"] == "2026-01-01"
    assert as_row(finding("a", site=ended), identity=IDENTITY, classes=CLASSES)[-3] == (
        "checked at A, B: fit; that check ended on 2026-01-01"
    )
    with RowFile(path, identity=IDENTITY, classes=CLASSES, site=site) as rows:
        rows.write(finding("a", site=site))
    with RowFile(path, identity=IDENTITY, classes=CLASSES, site=site, resume=True) as rows:
        assert rows.done == {"a"}
    with pytest.raises(InputRefused) as caught:
        RowFile(path, identity=IDENTITY, classes=CLASSES, resume=True)
    assert caught.value.code == "other-site"


def test_a_failure_as_data() -> None:
    facts = as_dict(Failure("a", "empty", "nothing"), identity=IDENTITY)
    assert (facts["label"], facts["probabilities"], facts["error"]) == (None, None, "empty")
    assert facts["reasons"] == ["nothing"]


def test_a_network_without_finite_answers_still_gives_json() -> None:
    broken = finding("a", label=CANNOT_SAY, probabilities=dict.fromkeys(CLASSES, float("nan")), reasons=("NaN",))
    assert json.loads(json_line(as_dict(broken, identity=IDENTITY)))["probabilities"] == dict.fromkeys(CLASSES)
    assert as_row(broken, identity=IDENTITY, classes=CLASSES)[2:5] == ["", "", ""]


@pytest.mark.parametrize("answer", ANSWERS[:2])
def test_csv_and_json_say_the_same(answer: Answer) -> None:
    facts = as_dict(answer, identity=IDENTITY)
    text = csv_line(columns(CLASSES)) + csv_line(as_row(answer, identity=IDENTITY, classes=CLASSES))
    (row,) = csv.DictReader(io.StringIO(text, newline=""))
    assert row["image"] == facts["image"]
    assert row["label"] == (facts["label"] or "")
    for name in CLASSES:
        assert row[f"p_{name}"] == (str(facts["probabilities"][name]) if facts["probabilities"] else "")
    assert row["prediction_set"] == "|".join(facts["prediction_set"] or [])
    points = facts["operating_points"]
    assert row["operating_points"] == (json.dumps(points) if points else "")
    assert row["gate"] == (json.dumps(facts["gate"]) if facts["gate"] else "")
    assert row["reasons"] == "; ".join(facts["reasons"])
    assert (row["model"], row["model_sha256"]) == ("small 1", "ab" * 32)
    assert row["site"] == ("" if facts["error"] else "not checked at this hospital")
    assert row["error"] == (facts["error"] or "")


def test_every_name_survives(path: Path) -> None:
    data = write(path, ANSWERS)
    text = data.decode("utf-8")  # text whatever the names are
    if path.suffix == ".jsonl":
        read = [json.loads(row)["image"] for row in text.split("\n") if row]
    else:
        read = [row["image"] for row in csv.DictReader(io.StringIO(text, newline=""))]
    assert read == [answer.image if path.suffix == ".jsonl" else shown(answer.image) for answer in ANSWERS]
    with RowFile(path, identity=IDENTITY, classes=CLASSES, resume=True) as rows:
        assert rows.done == {shown(answer.image) for answer in ANSWERS}
        assert {shown(failure.image) for failure in rows.failed} == {
            shown(a.image) for a in ANSWERS if isinstance(a, Failure)
        }
        assert {(failure.code, failure.message) for failure in rows.failed} == {
            ("truncated", "expected x. Received: y")
        }


def test_resuming_after_a_cut_at_any_byte_gives_the_undisturbed_file(path: Path) -> None:
    answers = ANSWERS[:8]
    whole = write(path, answers)
    ends = [at + step for at, byte in enumerate(whole) if byte == ord("\n") for step in (0, 1, 2)]
    for cut in sorted({*range(0, len(whole), 23), *ends, len(whole)}):
        path.write_bytes(whole[:cut])
        assert write(path, answers, resume=True) == whole, cut


def test_rows_appear_at_once(path: Path) -> None:
    with RowFile(path, identity=IDENTITY, classes=CLASSES) as rows:
        before = path.read_bytes()
        rows.write(finding("two\nlines.png"))
        after = path.read_bytes()
    assert after.startswith(before)
    assert after.endswith(b"\n")
    assert len(after) > len(before)


def test_an_existing_file_is_not_overwritten(path: Path) -> None:
    whole = write(path, ANSWERS)
    with pytest.raises(UsageError, match="--resume"):
        write(path, ANSWERS)
    assert path.read_bytes() == whole


def test_rows_of_another_network_are_kept_and_refused(path: Path) -> None:
    whole = write(path, ANSWERS)
    with pytest.raises(InputRefused) as error:
        RowFile(path, identity=OTHER, classes=CLASSES, resume=True)
    assert error.value.code == "other-model"
    assert path.read_bytes() == whole


def test_rows_with_other_columns_are_kept_and_refused(tmp_path: Path) -> None:
    """Of a version before the last column: a row would have had one cell more than the header."""
    path = tmp_path / "predictions.csv"
    write(path, ANSWERS)
    before = "".join(line.rpartition(",")[0] + "\n" for line in path.read_text().splitlines())
    path.write_text(before)
    with pytest.raises(InputRefused) as error:
        RowFile(path, identity=IDENTITY, classes=CLASSES, resume=True)
    assert error.value.code == "other-columns"
    assert path.read_text() == before


@pytest.mark.parametrize(
    "text", ["image,label\na.png,covid\n", "[1]\n", "{}\n", '{"image": 1}\n', "\x00\x01\n", "hello\n", "\n"]
)
def test_a_file_of_another_kind_is_kept_and_refused(path: Path, text: str) -> None:
    if (text, path.suffix) == ("\n", ".jsonl"):
        pytest.skip("an empty line is no row")
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputRefused) as error:
        RowFile(path, identity=IDENTITY, classes=CLASSES, resume=True)
    assert error.value.code == "not-results"
    assert path.read_text(encoding="utf-8") == text


def test_two_writers_do_not_mix(path: Path) -> None:
    with RowFile(path, identity=IDENTITY, classes=CLASSES), pytest.raises(Busy):
        RowFile(path, identity=IDENTITY, classes=CLASSES, resume=True)
    write(path, ANSWERS, resume=True)


def test_resume_of_nothing_begins_anew(path: Path) -> None:
    assert write(path, ANSWERS, resume=True) == write(path.with_stem("other"), ANSWERS)
