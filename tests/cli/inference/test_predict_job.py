"""`covid-xray predict` as a user meets it: exit codes, rows, names, interruption and resuming."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from covid_xray import __version__
from covid_xray.bundle.bundle import load_bundle
from covid_xray.files import shown
from support.bundles import CLASSES, GREYS, grey, make_bundle, network
from support.commands import Ran, run
from support.drawing import png

KEYS = [
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


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundles") / "bundle")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Six pictures, two of each class, in one folder."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number, label in enumerate(sorted(GREYS) * 2):
        (folder / f"{number}-{label}.png").write_bytes(png(grey(label, seed=number)))
    return folder


@pytest.fixture
def predict(capsysbinary: pytest.CaptureFixture[bytes], bundle: Path):  # type: ignore[no-untyped-def]
    return lambda *arguments: run(capsysbinary, "predict", *arguments, "--bundle", bundle)


def objects(ran: Ran) -> list[dict]:
    return [json.loads(row) for row in ran.out.decode("utf-8").split("\n") if row]


def rows(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode("utf-8"), newline="")))


def test_json_is_one_object_a_line(predict, images: Path, bundle: Path) -> None:
    ran = predict(images, "--json")
    assert ran.code == 0
    assert ran.err == b""
    answers = objects(ran)
    assert [list(answer) for answer in answers] == [KEYS] * 6
    for answer in answers:
        assert answer["label"] == Path(answer["image"]).stem.split("-")[1]
        assert list(answer["probabilities"]) == list(CLASSES)
        assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert answer["model"] == {"name": "small", "version": "1", "sha256": load_bundle(bundle).sha256}


def test_csv_says_the_same(predict, images: Path) -> None:
    (images / "broken.png").write_bytes(b"x")
    expected = objects(predict(images, "--json"))
    received = rows(predict(images, "--csv").out)
    assert len(received) == len(expected) == 7
    for row, facts in zip(received, expected, strict=True):
        assert (row["image"], row["label"], row["error"]) == (
            facts["image"],
            facts["label"] or "",
            facts["error"] or "",
        )
        for name in CLASSES:
            assert row[f"p_{name}"] == (str(facts["probabilities"][name]) if facts["probabilities"] else "")
        assert row["model_sha256"] == facts["model"]["sha256"]
        assert row["reasons"] == "; ".join(facts["reasons"])


def test_the_table_is_for_people(predict, images: Path) -> None:
    ran = predict(images)
    text = ran.out.decode()
    assert ran.code == 0
    for label in CLASSES:
        assert f"0-{label}.png" in text or f"1-{label}.png" in text or f"2-{label}.png" in text
    assert "not for diagnosis" in text
    assert "%" in text


def test_some_failures_are_4_and_the_others_are_answered(predict, images: Path) -> None:
    (images / "broken.png").write_bytes(b"x")
    ran = predict(images, images / "nowhere.png", "--json")
    assert ran.code == 4
    answers = objects(ran)
    assert len(answers) == 8
    assert {Path(a["image"]).name: a["error"] for a in answers if a["error"]} == {
        "broken.png": "not-an-image",
        "nowhere.png": "missing-file",
    }
    assert b"broken.png" in ran.err
    assert b"nowhere.png" in ran.err
    assert b"2 of 8" in ran.err


def test_only_failures_are_3(predict, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"x")
    ran = predict(tmp_path / "broken.png", "--json")
    assert ran.code == 3
    assert [answer["error"] for answer in objects(ran)] == ["not-an-image"]


def test_a_folder_without_images_is_3(predict, tmp_path: Path) -> None:
    ran = predict(tmp_path)
    assert ran.code == 3
    assert b"No images" in ran.err
    assert ran.out == b""


def test_an_empty_folder_beside_a_full_one_is_4(predict, images: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ran = predict(images, tmp_path / "empty", "--json")
    assert ran.code == 4
    assert [answer["error"] for answer in objects(ran)] == [None] * 6 + ["no-images"]


@pytest.mark.parametrize(
    "options",
    [
        ["--json", "--csv"],
        ["--heatmap"],
        ["--resume"],
        ["--nonsense"],
        ["--engine", "abacus"],
        ["--precision", "float8"],
        ["--precision", "bfloat16"],
    ],
    ids=" ".join,
)
def test_wrong_options_are_2(predict, images: Path, options: list[str]) -> None:
    ran = predict(images, *options)
    assert ran.code == 2
    assert ran.out == b""


def test_bad_bundles_are_3(capsysbinary, images: Path, tmp_path: Path) -> None:
    altered = make_bundle(tmp_path / "altered")
    (altered / "model.onnx").write_bytes(network(sharpness=2.0))
    for folder in (tmp_path / "nowhere", altered):
        ran = run(capsysbinary, "predict", images, "--bundle", folder)
        assert ran.code == 3
        assert str(folder).encode() in ran.err
        assert ran.out == b""


def test_int8_where_there_is_none_is_3(predict, images: Path) -> None:
    ran = predict(images, "--precision", "int8")
    assert ran.code == 3
    assert b"--int8" in ran.err


NAMES = [
    "[red]x[bold].png",
    "two\nlines.png",
    "a, b.png",
    'q"uote.png',
    "é.png",
    "esc\x1b[31m.png",
    os.fsdecode(b"\xff.png"),
]


@pytest.mark.parametrize("form", ["--json", "--csv"])
def test_strange_names_come_back_exactly(predict, tmp_path: Path, form: str) -> None:
    for name in NAMES:
        (tmp_path / name).write_bytes(png(grey("covid")))
    ran = predict(tmp_path, form)
    assert ran.code == 0
    answers = objects(ran) if form == "--json" else rows(ran.out)
    expected = NAMES if form == "--json" else map(shown, NAMES)
    assert {Path(answer["image"]).name for answer in answers} == set(expected)


def test_a_dash_is_standard_output(predict, images: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(rows(predict(images, "-o", "-").out)) == 6
    assert len(objects(predict(images, "-o", "-", "--json"))) == 6
    assert not Path("-").exists()


def test_a_target_that_is_no_folder_is_refused(predict, images: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_text("kept")
    for name in ("pipe", "file"):
        ran = predict(images, "-o", tmp_path / name)
        assert (ran.code, b"is not a folder" in ran.err) == (2, True)
    assert (tmp_path / "pipe").is_fifo()
    assert (tmp_path / "file").read_text() == "kept"


def test_strange_names_do_not_harm_the_terminal(predict, tmp_path: Path) -> None:
    for name in NAMES:
        (tmp_path / name).write_bytes(png(grey("covid")))
        (tmp_path / f"broken-{name}").write_bytes(b"x")
    ran = predict(tmp_path)
    assert ran.code == 4
    text = (ran.out + ran.err).decode("utf-8")
    assert "[red]x[bold].png" in text
    assert "\\nlines" in text
    assert "\x1b[31m.png" not in text


def test_results_go_to_a_folder(predict, images: Path, tmp_path: Path) -> None:
    ran = predict(images, "-o", tmp_path / "out")
    assert ran.code == 0
    assert [row["label"] for row in rows((tmp_path / "out" / "predictions.csv").read_bytes())] == sorted(GREYS) * 2
    assert predict(images, "-o", tmp_path / "out", "--json").code == 0
    assert len((tmp_path / "out" / "predictions.jsonl").read_text().splitlines()) == 6


def test_an_older_result_is_not_overwritten(predict, images: Path, tmp_path: Path) -> None:
    predict(images, "-o", tmp_path / "out")
    before = (tmp_path / "out" / "predictions.csv").read_bytes()
    assert predict(images, "-o", tmp_path / "out").code == 2
    assert (tmp_path / "out" / "predictions.csv").read_bytes() == before


def test_zip_archives_and_globs(predict, images: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "scans.zip", "w") as archive:
        archive.write(images / "0-covid.png", "deep/in.png")
    ran = predict(tmp_path / "scans.zip", f"{images}/1-*.png", "--json")
    assert ran.code == 0
    assert [answer["image"] for answer in objects(ran)] == [
        f"{tmp_path}/scans.zip/deep/in.png",
        f"{images}/1-normal.png",
    ]


def test_heat_maps(predict, images: Path, tmp_path: Path) -> None:
    assert predict(images, "-o", tmp_path / "out", "--heatmap").code == 0
    pictures = sorted((tmp_path / "out" / "heatmaps").iterdir())
    assert len(pictures) == 6
    for picture in pictures:
        with Image.open(picture) as image:
            assert image.width >= 30


def test_several_bundles_answer_together_with_their_spread(
    capsysbinary: pytest.CaptureFixture[bytes], images: Path, bundle: Path, tmp_path: Path
) -> None:
    soft = make_bundle(tmp_path / "soft", model=network(sharpness=0.1))
    both = ("--bundle", bundle, "--bundle", soft)
    (images / "broken.png").write_bytes(b"x")
    found = objects(run(capsysbinary, "predict", images, "--json", *both))
    table = rows(run(capsysbinary, "predict", images, "--csv", *both).out)
    hashes = [load_bundle(folder).sha256 for folder in (bundle, soft)]
    for answer, row in zip(found, table, strict=True):
        assert [member["sha256"] for member in answer["model"]["members"]] == hashes
        assert row["model_sha256"] == "+".join(hashes)
        spread = dict.fromkeys(CLASSES, "") if answer["error"] else answer["spread"]
        assert {name: str(value) for name, value in spread.items()} == {c: row[f"spread_{c}"] for c in CLASSES}
    shown = run(capsysbinary, "predict", images, *both, "--report", tmp_path / "run.json")
    assert " ± ".encode() in shown.out
    assert json.loads((tmp_path / "run.json").read_text())["bundle"] == [str(bundle), str(soft)]
    alone = objects(run(capsysbinary, "predict", images, "--json", "--bundle", bundle))
    assert not any("spread" in answer or "members" in answer["model"] for answer in alone)


def test_copies_of_the_input_are_told_and_not_mixed_with_plain_answers(
    capsysbinary: pytest.CaptureFixture[bytes], predict, images: Path, tmp_path: Path
) -> None:
    ran = predict(images, "--json", "-o", tmp_path, "--tta", "4")
    assert b"were fitted with --tta 1 and are used with --tta 4" in ran.err
    lines = (tmp_path / "predictions.jsonl").read_text().splitlines()
    assert {json.loads(line)["model"]["version"] for line in lines} == {"1, tta 4"}
    mixed = predict(images, "--json", "-o", tmp_path, "--resume")
    assert mixed.code == 3
    assert b"other copies of its inputs" in mixed.err
    assert predict(images, "--json", "-o", tmp_path, "--resume", "--tta", "4").code == 0


def test_the_report(predict, images: Path, bundle: Path, tmp_path: Path) -> None:
    (images / "broken.png").write_bytes(b"x")
    predict(images, "-o", tmp_path / "out", "--report", tmp_path / "run.json")
    report = json.loads((tmp_path / "run.json").read_text())
    assert report["covid-xray"] == __version__
    assert report["packages"]["onnxruntime"]
    assert report["model"]["sha256"] == load_bundle(bundle).sha256
    assert report["engine"].startswith("onnxruntime ")
    assert (report["images"], report["answered_now"]) == (7, 7)
    assert report["files"] == [str(images)]
    assert report["results"] == str(tmp_path / "out" / "predictions.csv")
    (failure,) = report["failures"]
    assert (Path(failure["image"]).name, failure["code"]) == ("broken.png", "not-an-image")
    assert report["seconds"] > 0


@pytest.mark.parametrize("form", [["--csv"], ["--json"]], ids=["csv", "json"])
def test_resuming_a_torn_file_gives_the_bytes_of_an_undisturbed_run(
    predict, images: Path, tmp_path: Path, form: list[str]
) -> None:
    (images / "1-broken.png").write_bytes(b"x")
    assert predict(images, *form, "-o", tmp_path / "whole").code == 4
    (whole,) = (tmp_path / "whole").iterdir()
    data = whole.read_bytes()
    for cut in (0, 10, data.index(b"\n") + 1, len(data) // 2, len(data) - 1, len(data)):
        target = tmp_path / f"cut-{cut}" / whole.name
        target.parent.mkdir()
        target.write_bytes(data[:cut])
        ran = predict(images, *form, "-o", target.parent, "--resume")
        assert target.read_bytes() == data
        assert ran.code == 4  # the failure is known from its row even where it was answered before


def slow(bundle: Path, images: Path, out: Path, *options: str) -> subprocess.Popen[bytes]:
    """`predict` in a process of its own, 20 ms a picture."""
    program = """
import sys, time
from covid_xray.inference.predictor import Predictor
read = Predictor.read
def slow(self, source):
    time.sleep(0.02)
    return read(self, source)
Predictor.read = slow
from covid_xray.cli import main
main()
"""
    command = [sys.executable, "-c", program, "predict", images, "-o", out, "--bundle", bundle, *options]
    return subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wait_for_rows(path: Path, process: subprocess.Popen[bytes], count: int) -> None:
    for _ in range(3000):
        if path.is_file() and path.read_bytes().count(b"\n") > count:
            return
        assert process.poll() is None
        time.sleep(0.01)
    raise AssertionError("expected rows within 30 seconds. Received: none")


@pytest.fixture
def many(tmp_path: Path) -> Path:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(200):
        label = sorted(GREYS)[number % 3]
        (folder / f"{number:03}.png").write_bytes(png(grey(label, seed=number)))
    return folder


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_a_stopped_run_leaves_whole_rows_and_resumes(
    predict, bundle: Path, many: Path, tmp_path: Path, number: signal.Signals
) -> None:
    target = tmp_path / "stopped" / "predictions.csv"
    process = slow(bundle, many, target.parent)
    wait_for_rows(target, process, 20)
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == (130 if number == signal.SIGINT else -number)
    if number == signal.SIGINT:
        assert b"stopped after" in error
        assert b"--resume" in error
        assert b"Traceback" not in error
    data = target.read_bytes()
    assert data.endswith(b"\n")
    assert 20 <= len(rows(data)) < 200
    assert predict(many, "-o", target.parent, "--resume").code == 0
    assert predict(many, "-o", tmp_path / "whole").code == 0
    assert target.read_bytes() == (tmp_path / "whole" / "predictions.csv").read_bytes()


def test_a_stopped_run_still_writes_its_report(bundle: Path, many: Path, tmp_path: Path) -> None:
    target = tmp_path / "stopped" / "predictions.csv"
    process = slow(bundle, many, target.parent, "--report", str(tmp_path / "run.json"))
    wait_for_rows(target, process, 5)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    report = json.loads((tmp_path / "run.json").read_text())
    assert 0 < report["answered_now"] < report["images"] == 200


def test_a_reader_that_goes_away_is_no_crash(bundle: Path, many: Path) -> None:
    command = f"'{sys.executable}' -m covid_xray predict '{many}' --json --bundle '{bundle}' | head -n 1"
    ran = subprocess.run(["bash", "-c", command], capture_output=True, timeout=60, check=False)
    assert json.loads(ran.stdout)["error"] is None
    assert b"Traceback" not in ran.stderr
    assert b"BrokenPipe" not in ran.stderr


def test_a_submission_with_a_fallback_that_is_no_class_is_refused(
    capsysbinary: pytest.CaptureFixture[bytes], images: Path, bundle: Path, tmp_path: Path
) -> None:
    command = ("submit", "--data", images, "--bundle", bundle, "-o", tmp_path / "s.csv", "--fallback")
    ran = run(capsysbinary, *command, "Normal ")
    assert (ran.code, b"Did you mean normal?" in ran.err) == (2, True)
    assert not (tmp_path / "s.csv").exists()
    assert run(capsysbinary, *command, "normal").code == 0
