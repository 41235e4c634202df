"""The results folder: one row for each input, whatever happened on the way, and never somebody else's."""

import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from covid_xray.bundle.bundle import load_bundle
from covid_xray.cluster.parquet_rows import checksum
from covid_xray.cluster.partition_scorer import ScoringSetup
from covid_xray.cluster.plan import Partition
from covid_xray.cluster.score import ScoringRequest, part_path, score
from covid_xray.cluster.worker import Worker
from covid_xray.errors import Busy, CovidXrayError, InputRefused, UsageError
from covid_xray.files import folder_lock
from support.archives import archive, make_bundle, picture, rows, shard
from support.bundles import network
from support.sites import make_site_file


def here(parts: Iterator[Partition], work: ScoringSetup) -> Iterator:
    """The real worker, in this process."""
    worker = Worker(work)
    return (worker.score(part, attempt=1) for part in parts)


def backwards(parts: Iterator[Partition], work: ScoringSetup) -> Iterator:
    """An engine that finishes out of order, and one partition twice."""
    done = list(here(parts, work))
    yield from (done[-1], *reversed(done))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return archive(tmp_path_factory.mktemp("films"), 100)


def facts(out: Path) -> dict:
    return json.loads((out / "run.json").read_text())


def files(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (out / "answers").iterdir()}


def test_every_input_has_one_row_and_the_checksum_is_that_of_the_rows(
    films: Path, bundle: Path, tmp_path: Path
) -> None:
    state = score(ScoringRequest(str(films), tmp_path / "out", bundle=bundle), engine=here, name="here")
    found = rows(tmp_path / "out")
    assert [row["image"] for row in found] == [f"000/{n:06d}.png" for n in range(100)]
    assert facts(tmp_path / "out")["checksum"] == checksum(found)
    assert (state.rows, state.partitions, state.work_done) == (100, state.plan.partitions, 100)


def test_order_and_repetition_change_nothing(films: Path, bundle: Path, tmp_path: Path) -> None:
    for name, engine in {"one": here, "two": backwards}.items():
        score(ScoringRequest(str(films), tmp_path / name, bundle=bundle), engine=engine, name=name)
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert facts(tmp_path / "one")["checksum"] == facts(tmp_path / "two")["checksum"]


def test_a_run_that_stopped_goes_on_where_it_was(films: Path, bundle: Path, tmp_path: Path) -> None:
    job = ScoringRequest(str(films), tmp_path / "out", bundle=bundle)
    begun = []

    def failing(parts: Iterator[Partition], work: ScoringSetup) -> Iterator:
        engine = here(parts, work)
        yield from (next(engine) for _ in range(3))
        raise KeyboardInterrupt

    def counting(parts: Iterator[Partition], work: ScoringSetup) -> Iterator:
        return here((begun.append(part.number) or part for part in parts), work)

    with pytest.raises(KeyboardInterrupt):
        score(job, engine=failing, name="x")
    assert not (tmp_path / "out" / "run.json").exists()
    assert len(files(tmp_path / "out")) == 3
    with pytest.raises(UsageError, match="--resume"):
        score(job, engine=here, name="x")
    resumed = ScoringRequest(str(films), tmp_path / "out", bundle=bundle, resume=True)
    state = score(resumed, engine=counting, name="x")
    assert begun == [3, 4, 5, 6]
    assert (state.rows_before, facts(tmp_path / "out")["answered_now"]) == (48, 52)
    score(ScoringRequest(str(films), tmp_path / "whole", bundle=bundle), engine=here, name="x")
    assert files(tmp_path / "out") == files(tmp_path / "whole")
    begun.clear()
    assert score(resumed, engine=counting, name="x").rows == 100  # it is finished: nothing is done again
    assert not begun


def test_several_bundles_answer_together_and_their_spread_is_a_column(
    films: Path, bundle: Path, tmp_path: Path
) -> None:
    soft = make_bundle(tmp_path / "soft", model=network(sharpness=0.1))
    job = ScoringRequest(str(films), tmp_path / "out", bundle=(bundle, soft))
    score(job, engine=here, name="x")
    found, hashes = rows(tmp_path / "out"), [load_bundle(folder).sha256 for folder in (bundle, soft)]
    assert {row["model_sha256"] for row in found} == {"+".join(hashes)}
    assert [member["sha256"] for member in facts(tmp_path / "out")["model"]["members"]] == hashes
    assert max(row["spread_covid"] for row in found) > 0.01
    score(ScoringRequest(str(films), tmp_path / "alone", bundle=bundle), engine=here, name="x")
    assert "spread_covid" not in rows(tmp_path / "alone")[0]
    site = make_site_file(tmp_path / "site", bundle)
    with pytest.raises(UsageError, match="2 were given"):
        score(dataclasses.replace(job, out=tmp_path / "other", site=site), engine=here, name="x")


def test_copies_of_the_inputs_are_an_option_of_a_run(films: Path, bundle: Path, tmp_path: Path) -> None:
    job = ScoringRequest(str(films), tmp_path / "out", bundle=bundle, tta=2)
    score(job, engine=here, name="x")
    assert rows(tmp_path / "out")[0]["model"].endswith(", tta 2")
    with pytest.raises(UsageError, match="begun with tta=2, not tta=None"):
        score(dataclasses.replace(job, tta=None, resume=True), engine=here, name="x")


def test_the_folder_of_another_network_is_refused_and_stays_as_it_is(films: Path, bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    score(ScoringRequest(str(films), out, bundle=bundle), engine=here, name="x")
    before = files(out)
    other = make_bundle(tmp_path / "other", model=network(sharpness=2.0))
    for resume in (True, False):
        with pytest.raises(InputRefused) as caught:
            score(ScoringRequest(str(films), out, bundle=other, resume=resume), engine=here, name="x")
        assert caught.value.code == "other-model"
    with pytest.raises(UsageError, match="heatmap"):
        score(ScoringRequest(str(films), out, bundle=bundle, heatmap=True, resume=True), engine=here, name="x")
    assert files(out) == before


def test_a_folder_with_other_things_is_not_written_to(films: Path, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(UsageError, match="other files"):
        score(ScoringRequest(str(films), tmp_path, bundle=bundle), engine=here, name="x")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_altered_partitions_are_noticed_before_going_on(films: Path, bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    score(ScoringRequest(str(films), out, bundle=bundle), engine=here, name="x")
    whole = part_path(out, "answers", 1).read_bytes()
    for spoilt in (whole[:-1], b"", part_path(out, "answers", 0).read_bytes()):
        part_path(out, "answers", 1).write_bytes(spoilt)
        with pytest.raises(InputRefused, match="part-000001") as caught:
            score(ScoringRequest(str(films), out, bundle=bundle, resume=True), engine=here, name="x")
        assert caught.value.code == "altered"


def test_a_partition_that_is_missing_at_the_end_is_no_success(films: Path, bundle: Path, tmp_path: Path) -> None:
    def lazy(parts: Iterator[Partition], work: ScoringSetup) -> Iterator:
        next(parts)
        return here(parts, work)

    with pytest.raises(CovidXrayError, match="of 7 partitions"):
        score(ScoringRequest(str(films), tmp_path / "out", bundle=bundle), engine=lazy, name="x")
    assert not (tmp_path / "out" / "run.json").exists()


def test_an_error_of_a_worker_ends_the_run_and_keeps_what_is_done(bundle: Path, tmp_path: Path) -> None:
    films = archive(tmp_path / "films", 100)

    def vanishing(parts: Iterator[Partition], work: ScoringSetup) -> Iterator:
        engine = here(parts, work)
        yield next(engine)
        films.rename(tmp_path / "elsewhere")
        yield from engine

    out = tmp_path / "out"
    with pytest.raises(InputRefused) as caught:
        score(ScoringRequest(str(films), out, bundle=bundle), engine=vanishing, name="x")
    assert caught.value.code == "source-lost"
    assert len(files(out)) == 1
    (tmp_path / "elsewhere").rename(films)
    score(ScoringRequest(str(films), out, bundle=bundle, resume=True), engine=here, name="x")
    assert len(rows(out)) == len({row["image"] for row in rows(out)}) == 100
    assert not any(row["error"] for row in rows(out))


def test_shards_tables_and_folders_give_the_same_answers(films: Path, bundle: Path, tmp_path: Path) -> None:
    names = sorted(path.relative_to(films).as_posix() for path in films.rglob("*.png"))
    shard(tmp_path / "tars" / "s.tar", [(name, (films / name).read_bytes()) for name in names])
    (tmp_path / "t.csv").write_text("image\n" + "\n".join(names) + "\n")
    sources = {"folder": (films, None), "shards": (tmp_path / "tars", None), "table": (tmp_path / "t.csv", films)}
    found = {}
    for name, (source, images) in sources.items():
        job = ScoringRequest(str(source), tmp_path / name, images=str(images) if images else None, bundle=bundle)
        score(job, engine=here, name="x")
        found[name] = [{**row, "image": row["image"].removeprefix("s.tar/")} for row in rows(tmp_path / name)]
    assert found["folder"] == found["shards"] == found["table"]
    address = ScoringRequest(f"file://{films}", tmp_path / "address", bundle=bundle)
    score(address, engine=here, name="x")
    assert files(tmp_path / "address") == files(tmp_path / "folder")


def test_heat_maps_are_there_before_the_rows_that_tell_of_them(bundle: Path, tmp_path: Path) -> None:
    films = archive(tmp_path / "films", 4)
    score(ScoringRequest(str(films), tmp_path / "out", bundle=bundle, heatmap=True), engine=here, name="x")
    assert len(list((tmp_path / "out" / "heatmaps").glob("*.png"))) == 4


def test_two_at_once_and_a_source_without_images(films: Path, bundle: Path, tmp_path: Path) -> None:
    with folder_lock(tmp_path / "out"), pytest.raises(Busy):
        score(ScoringRequest(str(films), tmp_path / "out", bundle=bundle), engine=here, name="x")
    (tmp_path / "bare").mkdir()
    with pytest.raises(InputRefused) as caught:
        score(ScoringRequest(str(tmp_path / "bare"), tmp_path / "none", bundle=bundle), engine=here, name="x")
    assert caught.value.code == "no-images"


def test_names_that_are_no_utf8_and_dicom_trees(bundle: Path, tmp_path: Path) -> None:
    from pydicom.data import get_testdata_file

    (tmp_path / "a").mkdir()
    (tmp_path / "a" / os.fsdecode(b"\xff.png")).write_bytes(picture(0))
    dicom = Path(get_testdata_file("CT_small.dcm")).read_bytes()
    (tmp_path / "a" / "1.2.840.1").write_bytes(dicom[:400])  # cut off: named, not passed over
    score(ScoringRequest(str(tmp_path / "a"), tmp_path / "out", bundle=bundle), engine=here, name="x")
    assert {row["image"]: bool(row["error"]) for row in rows(tmp_path / "out")} == {
        "1.2.840.1": True,
        "\\udcff.png": False,
    }
    assert pq.read_table(tmp_path / "out" / "quarantine").num_rows == 1


def test_rows_say_at_which_hospital_they_hold_and_a_folder_has_one(films: Path, bundle: Path, tmp_path: Path) -> None:
    site, out = make_site_file(tmp_path / "site", bundle), tmp_path / "out"
    request = ScoringRequest(str(films), out, bundle=bundle, site=site)
    score(request, engine=here, name="here")
    check = json.loads((site / "site.json").read_text())
    known = {"name": "St. Elsewhere", "verdict": "fit", "sha256": check["sha256"]}
    assert {json.loads(row["site"]) == known for row in rows(out) if row["error"] is None} == {True}
    assert facts(out)["site"] == known
    with pytest.raises(UsageError, match="site_sha256"):
        score(ScoringRequest(str(films), out, bundle=bundle, resume=True), engine=here, name="here")
    other = make_site_file(tmp_path / "other", make_bundle(tmp_path / "b", temperature=3.0))
    with pytest.raises(InputRefused, match="another bundle"):
        score(ScoringRequest(str(films), tmp_path / "out2", bundle=bundle, site=other), engine=here, name="here")
