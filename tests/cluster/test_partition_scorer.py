"""The scorer of one partition, and the command `score` around all of it."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from covid_xray.bundle.bundle import load_bundle
from covid_xray.cli.services.score import ProgressLog, describe_progress, format_duration
from covid_xray.cluster import partition_scorer
from covid_xray.cluster.partition_scorer import PartitionScorer, ScoringSetup
from covid_xray.cluster.plan import Partition, Plan
from covid_xray.cluster.score import RunState
from covid_xray.cluster.source_listing import Entry
from covid_xray.errors import BadImage, InputRefused
from covid_xray.files import sha256_bytes
from covid_xray.images.decode import decode
from covid_xray.limits import Limits
from support.archives import CLASSES, archive, make_bundle, picture, rows, shard
from support.commands import run


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle"))


def scorer(bundle: Path, place: Path, **options) -> PartitionScorer:
    return PartitionScorer(ScoringSetup(load_bundle(bundle), str(place), **options))


def entries(count: int) -> tuple[Entry, ...]:
    return tuple(Entry(f"000/{n:06d}.png", f"000/{n:06d}.png", 100) for n in range(count))


def found(chunks) -> list:
    return [row for chunk in chunks for row in chunk.rows]


def test_each_input_is_answered_under_its_name_with_the_hash_of_its_file(bundle: Path, tmp_path: Path) -> None:
    archive(tmp_path, 40)
    answered = found(scorer(bundle, tmp_path).score_batches(Partition(0, entries(40))))
    assert [row.answer.image for row in answered] == [entry.name for entry in entries(40)]
    assert [row.answer.label for row in answered[:3]] == list(CLASSES)
    assert answered[7].sha256 == sha256_bytes(picture(7))
    assert all(row.seconds > 0 for row in answered)


def test_what_cannot_be_answered_fails_with_its_code_and_harms_no_other(bundle: Path, tmp_path: Path) -> None:
    archive(tmp_path, 5)
    (tmp_path / "000" / "000001.png").write_bytes(b"no image")
    (tmp_path / "000" / "000002.png").unlink()
    part = Partition(0, (*entries(5), Entry("row 6", "", problem="no-image")))
    answered = found(scorer(bundle, tmp_path).score_batches(part))
    codes = [getattr(row.answer, "code", "") for row in answered]
    assert codes == ["", "not-an-image", "missing-file", "", "", "no-image"]
    assert answered[1].sha256 == sha256_bytes(b"no image")
    assert answered[2].sha256 is None


def test_members_of_a_shard_are_answered_like_files(bundle: Path, tmp_path: Path) -> None:
    shard(tmp_path / "s.tar", [(f"{n}.png", picture(n)) for n in range(20)])
    answered = found(scorer(bundle, tmp_path).score_batches(Partition(0, (Entry("s.tar", "s.tar", 1, shard=True),))))
    assert [(row.answer.image, row.answer.label) for row in answered[:2]] == [
        ("s.tar/0.png", "covid"),
        ("s.tar/1.png", "normal"),
    ]
    assert len(answered) == 20


def test_a_source_that_goes_away_ends_the_run_instead_of_failing_every_input(bundle: Path, tmp_path: Path) -> None:
    archive(tmp_path / "a", 5)
    at_work = scorer(bundle, tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "gone")
    for gone in (Partition(0, entries(5)), Partition(0, (Entry("s.tar", "s.tar", 7, shard=True),))):
        with pytest.raises(InputRefused, match="--resume") as caught:
            at_work.score(gone)
        assert caught.value.code == "source-lost"


def test_chunks_may_begin_later_and_inputs_be_given_up_or_answered_alone(bundle: Path, tmp_path: Path) -> None:
    archive(tmp_path, 40)
    at_work, part, noted = scorer(bundle, tmp_path), Partition(0, entries(40)), []
    whole = found(at_work.score_batches(part))
    late = found(at_work.score_batches(part, begin=1, given_up={"000/000020.png"}, alone={2}, note=noted.append))
    assert [row.answer.image for row in late] == [row.answer.image for row in whole[16:]]
    assert late[4].answer.code == "gave-up"
    assert [row.answer.label for row in late[5:]] == [row.answer.label for row in whole[21:]]
    assert "000/000020.png" not in noted
    assert noted[:3] == [f"000/{n:06d}.png" for n in (16, 17, 18)]
    assert noted.count("") == 1  # the batch of chunk 1; chunk 2 is answered one by one


def test_a_file_that_was_slow_to_decode_is_tried_again_with_more_time(
    bundle: Path, tmp_path: Path, monkeypatch
) -> None:
    archive(tmp_path, 2)
    part, patient, seconds = Partition(0, entries(2)), scorer(bundle, tmp_path, limits=Limits(decode_seconds=5.0)), []
    whole = patient.predictor.view

    def slow_at_first(source: object) -> object:
        if isinstance(source, bytes):
            raise BadImage("slow", code="decode-timeout")
        return whole(source)

    def opened(data: bytes, *, limits: Limits, untrusted: bool) -> object:
        seconds.append(limits.decode_seconds)
        return decode(data)

    monkeypatch.setattr(patient.predictor, "view", slow_at_first)
    monkeypatch.setattr(partition_scorer, "open_source", opened)
    assert [row.answer.label for row in found(patient.score_batches(part))] == list(CLASSES[:2])
    assert seconds == [5.0 * partition_scorer.RETRY_FACTOR] * 2


def test_a_file_that_is_slow_twice_fails(bundle: Path, tmp_path: Path, monkeypatch) -> None:
    archive(tmp_path, 2)

    def slow(*_: object, **__: object) -> object:
        raise BadImage("slow", code="decode-timeout")

    hasty = scorer(bundle, tmp_path)
    monkeypatch.setattr(hasty.predictor, "view", slow)
    monkeypatch.setattr(partition_scorer, "open_source", slow)
    answers = [row.answer for row in found(hasty.score_batches(Partition(0, entries(2))))]
    assert [answer.code for answer in answers] == ["decode-timeout"] * 2


def test_pictures_come_with_the_answers(bundle: Path, tmp_path: Path) -> None:
    archive(tmp_path, 3)
    done = scorer(bundle, tmp_path, heatmap=True).score(Partition(0, entries(3)))
    assert len(done.pictures) == 3
    assert all(data.startswith(b"\x89PNG") for data in done.pictures.values())
    assert "000000-" in min(done.pictures)


def test_the_command_from_folder_to_rows(bundle: Path, tmp_path: Path, capfdbinary) -> None:
    archive(tmp_path / "a", 20)
    (tmp_path / "a" / "broken.png").write_bytes(b"")
    ran = run(capfdbinary, "score", tmp_path / "a", "-o", tmp_path / "out", "--bundle", bundle, "--workers", 1)
    assert ran.code == 4
    assert b"1 failed as empty" in ran.err
    assert len(rows(tmp_path / "out")) == 21
    assert [row["code"] for row in rows(tmp_path / "out", "quarantine")] == ["empty"]
    facts = json.loads((tmp_path / "out" / "run.json").read_text())
    assert (facts["inputs"], facts["answered"], facts["failed"]) == (21, 20, {"empty": 1})
    assert (
        pq.read_table(tmp_path / "out" / "answers").num_rows == 21
    )  # any Parquet reader takes the folder as one table


def test_the_command_refuses_what_does_not_go_together(bundle: Path, tmp_path: Path, capfdbinary) -> None:
    common = ("score", tmp_path, "-o", tmp_path / "out", "--bundle", bundle)
    for options, words in {
        ("--engine", "spark"): b"'spark' is not one of",
        ("--address", "auto"): b"--engine ray",
        ("--precision", "bfloat16"): b"'bfloat16' is not one",
        ("--engine", "ray", "--address", "nowhere"): b"HOST:PORT",
    }.items():
        ran = run(capfdbinary, *common, *options)
        assert (ran.code, words in ran.err) == (2, True)
    assert not (tmp_path / "out").exists()


def test_progress_in_words() -> None:
    plan = Plan("s", None, "s", "folder", "m", "float32", False, 4, 2000, 0, 0, {}, 0)
    state = RunState(plan, rows=1000, rows_before=500, work_done=1000, work_before=500, seconds=10.0)
    state.failed["empty"] = 3
    assert describe_progress(state) == "1,000 of 2,000 inputs, 50.0 a second, 20 s left, 3 failed"
    assert [format_duration(s) for s in (40, 600, 20_000, 200_000)] == ["40 s", "10 min", "5.6 h", "2.3 days"]


def test_a_log_gets_a_line_every_half_minute(capfd: pytest.CaptureFixture[str]) -> None:
    times = iter([0.0, 10.0, 31.0, 31.0, 50.0])
    lines = ProgressLog(now=lambda: next(times))
    plan = Plan("s", None, "s", "folder", "m", "float32", False, 4, 2000, 0, 0, {}, 0)
    for _ in range(3):
        lines(RunState(plan, rows=10, work_done=10, seconds=1.0))
    assert capfd.readouterr().err.count("10 of 2,000 inputs") == 1
