"""From arrival to study and results, once, whatever is interrupted."""

import io
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest

from covid_xray.errors import StoreFull
from covid_xray.inference.predictor import Predictor
from covid_xray.pacs import worker
from covid_xray.pacs.service import NodeServices
from covid_xray.pacs.work_queue import PULLED
from covid_xray.store import worklist
from support import services, studies
from support.chests import chest

PIXELS = chest(height=64, width=64, body=255, lung=85)
ARCHIVE = {"peers": {"archive": {"dicomweb": "http://127.0.0.1:9/x"}}, "send_to": ["archive"]}


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor(studies.make_lung_bundle(tmp_path_factory.mktemp("b") / "bundle"))


@pytest.fixture
def parts(tmp_path: Path, predictor: Predictor) -> Iterator[NodeServices]:
    with services.opened(tmp_path, predictor, **ARCHIVE) as opened:
        yield opened


def take(parts: NodeServices, *data: bytes) -> None:
    for one in data:
        parts.receiver.receive(services.incoming(parts, one), origin="MODALITY")


def results(parts: NodeServices) -> set[str]:
    return {path.stem.partition("-")[2] for path in parts.spool.folder.glob("*-*.dcm")}


def test_an_arrival_becomes_a_study_in_the_worklist_and_results(parts: NodeServices) -> None:
    take(parts, studies.film(PIXELS), studies.film(255 - PIXELS, number=2))
    assert parts.classify_all() == 2
    assert parts.queue.count_states()["arrivals answered"] == 2
    page = worklist.page(parts.store.database, worklist.Query(origin="MODALITY"))
    assert [study.label for study in page.studies] == ["covid", "normal"]  # the most suspicious first
    study = page.studies[0]
    assert (study.name, study.origin, study.uploader) == ("P-1 20261126 A-1", "MODALITY", "MODALITY")
    assert (study.study_uid, study.sop_uid) == ("1.2.826.0.1.3680043.10.1.1", "1.2.826.0.1.3680043.10.1.1.1.1")
    assert parts.store.radiograph(study).pixels.shape == (64, 64)
    assert results(parts) == {"sc", "sr", "seg"}
    made = pydicom.dcmread(io.BytesIO(parts.spool.result_path(study.id, "sr").read_bytes()))
    assert made.StudyInstanceUID == study.study_uid
    assert not parts.spool.original_path(study.id).exists()


def test_without_a_peer_the_results_are_in_the_worklist_only(tmp_path: Path, predictor: Predictor) -> None:
    with services.opened(tmp_path, predictor) as parts:
        take(parts, studies.film(PIXELS))
        parts.classify_all()
        assert parts.queue.count_states() == {"arrivals answered": 1}
        assert worklist.page(parts.store.database, worklist.Query()).total == 1
        assert list(parts.spool.folder.glob("*.dcm")) == []


@pytest.mark.parametrize("breaks", ["_store_studies", "_build_results", "record"])
def test_a_break_at_any_stage_is_one_study_and_the_same_results_in_the_end(
    breaks: str, parts: NodeServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Power(BaseException):
        pass

    def fails(*_: object, **__: object) -> None:
        raise Power

    take(parts, studies.film(PIXELS))
    with monkeypatch.context() as patch:
        patch.setattr(parts.queue if breaks == "record" else parts.worker, breaks, fails)
        with pytest.raises(Power):
            parts.worker.process_batch()
    first = {path.name: pydicom.dcmread(path).SOPInstanceUID for path in parts.spool.folder.glob("*-*.dcm")}
    assert parts.classify_all() == 1
    assert worklist.page(parts.store.database, worklist.Query()).total == 1
    again = {path.name: pydicom.dcmread(path).SOPInstanceUID for path in parts.spool.folder.glob("*-*.dcm")}
    assert len(again) == 3
    assert first.items() <= again.items()


def test_a_full_store_keeps_them_waiting(parts: NodeServices, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise StoreFull("no room")

    take(parts, studies.film(PIXELS))
    with monkeypatch.context() as patch:
        patch.setattr(parts.store.images, "put", full)
        for _ in range(worker.MAX_TRIES + 1):
            with pytest.raises(StoreFull):
                parts.worker.process_batch()
    assert parts.classify_all() == 1
    assert parts.queue.count_states()["arrivals answered"] == 1


def test_an_arrival_at_which_the_process_always_dies_is_given_up(parts: NodeServices) -> None:
    take(parts, studies.film(PIXELS))
    for _ in range(worker.MAX_TRIES):
        parts.queue.claim(limit=1)  # and then the process died
    take(parts, studies.film(PIXELS, number=2))
    parts.classify_all()
    assert parts.queue.count_states() == {"arrivals answered": 1, "arrivals failed": 1, "deliveries waiting": 3}


def test_an_original_that_is_gone_fails_by_code(parts: NodeServices) -> None:
    take(parts, studies.film(PIXELS))
    for path in parts.spool.folder.glob("*.dcm"):
        path.unlink()
    parts.classify_all()
    assert parts.queue.count_states() == {"arrivals failed": 1}


def test_no_value_of_a_tag_is_logged(parts: NodeServices, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", logger="covid_xray")
    canary = dict.fromkeys(("PatientID", "PatientName", "AccessionNumber", "StudyID", "StudyDescription"), "CANARY")
    take(parts, studies.film(PIXELS, **canary, PatientAge="CANARY", StudyDate="CANARY"))
    parts.classify_all()
    assert "answered" in caplog.text
    assert "CANARY" not in caplog.text
    assert "1.2.826" not in caplog.text


@pytest.mark.parametrize("peers", [ARCHIVE, {}])
def test_in_test_mode_all_is_made_and_nothing_is_sent(
    peers: dict[str, object], tmp_path: Path, predictor: Predictor
) -> None:
    with services.opened(tmp_path, predictor, test_mode=True, **peers) as parts:
        take(parts, studies.film(PIXELS))
        parts.classify_all()
        assert parts.forwarders == ()
        assert parts.queue.count_states() == {"arrivals answered": 1, "deliveries test": 3}
        parts.clean_up()
        assert results(parts) == {"sc", "sr", "seg"}
        assert {one.kind for one in parts.queue.list_unsent()} == {"sc", "sr", "seg"}
    with services.opened(tmp_path, predictor, **peers) as parts:  # the test is over: they stay unsent
        assert parts.queue.due_deliveries("archive", limit=9) == []
        assert parts.queue.send_again() == 0


def test_a_pull_delays_what_is_sent_by_no_more_than_the_batch_under_way(tmp_path: Path, predictor: Predictor) -> None:
    with services.opened(tmp_path, predictor, batch=2, **ARCHIVE) as parts:
        for number in range(5):
            data = studies.film(PIXELS, number=number + 1)
            parts.receiver.receive(services.incoming(parts, data), origin="web", priority=PULLED)
        assert parts.worker.process_batch() == 2
        live = [studies.film(PIXELS, number=number) for number in (11, 12)]
        take(parts, *live)
        assert parts.worker.process_batch() == 2
        page = worklist.page(parts.store.database, worklist.Query(origin="MODALITY"))
        assert {study.sop_uid[-2:] for study in page.studies} == {"11", "12"}
        due = parts.queue.due_deliveries("archive", limit=99)
        assert {one.arrival_id for one in due[:4]}  # captures and regions == {study.id for study in page.studies}


def kept(parts: NodeServices, kind: str) -> list[pydicom.FileDataset]:
    return [pydicom.dcmread(path) for path in parts.spool.folder.glob(f"*-{kind}.dcm")]


def reported(report: pydicom.Dataset) -> set[str]:
    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    series = [one for item in study.ReferencedSeriesSequence for one in item.ReferencedSOPSequence]
    return {one.ReferencedSOPInstanceUID for one in series if one.ReferencedSOPClassUID == studies.DX}


def test_a_study_has_one_report_when_no_image_came_for_a_while(parts: NodeServices) -> None:
    take(parts, studies.film(PIXELS), studies.film(255 - PIXELS, number=2), studies.film(PIXELS, study=2))
    assert parts.worker.process_batch() == 3
    assert parts.worker.close_studies() == 0  # within the seconds of the settings
    assert results(parts) == {"sc", "seg"}
    assert parts.worker.close_studies(quiet_seconds=0) == 2
    first = {one.StudyInstanceUID: one for one in kept(parts, "sr")}
    assert {len(reported(one)) for one in first.values()} == {1, 2}
    assert parts.worker.close_studies(quiet_seconds=0) == 0
    take(parts, studies.film(PIXELS, study=2, number=2))  # a later image
    parts.classify_all()
    later = next(one for one in kept(parts, "sr") if "PredecessorDocumentsSequence" in one)
    assert len(reported(later)) == 2
    before = later.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert before.ReferencedSOPInstanceUID == first[later.StudyInstanceUID].SOPInstanceUID
    assert parts.queue.count_states()["deliveries waiting"] == 4 + 3 + 3  # captures, segmentations, reports


@pytest.mark.parametrize("change", ["pixels", "patient"])
def test_results_of_a_corrected_image_are_withdrawn_and_made_anew(change: str, parts: NodeServices) -> None:
    take(parts, studies.film(PIXELS), studies.film(PIXELS, number=2))
    parts.classify_all()
    old = {kind: {one.SOPInstanceUID for one in kept(parts, kind)} for kind in ("sc", "seg", "sr")}
    films = {"pixels": studies.film(PIXELS // 2 + 120), "patient": studies.film(PIXELS, PatientID="P-2")}
    take(parts, films[change])
    parts.classify_all()
    (note,) = kept(parts, "ko")
    assert note.ConceptNameCodeSequence[0].CodeValue == {"pixels": "113001", "patient": "113037"}[change]
    withdrawn = {
        one.ReferencedSOPInstanceUID
        for item in note.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
        for one in item.ReferencedSOPSequence
    }
    assert len(withdrawn) == 3  # capture, segmentation, and the report of the study
    assert old["sr"] < withdrawn
    assert withdrawn <= old["sc"] | old["seg"] | old["sr"]
    (report,) = [one for one in kept(parts, "sr") if one.SOPInstanceUID not in withdrawn]
    assert "PredecessorDocumentsSequence" not in report  # what was rejected is no predecessor
    assert len(reported(report)) == 2
    take(parts, films[change])
    assert parts.classify_all() == 0


def test_results_are_withdrawn_when_the_corrected_image_is_not_frontal(parts: NodeServices) -> None:
    take(parts, studies.film(PIXELS))
    parts.classify_all()
    old = {one.SOPInstanceUID for kind in ("sc", "seg", "sr") for one in kept(parts, kind)}
    lateral = studies.film(PIXELS, ViewPosition="LL")
    take(parts, lateral, lateral)
    parts.classify_all()
    (note,) = kept(parts, "ko")
    series = note.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    assert {one.ReferencedSOPInstanceUID for item in series for one in item.ReferencedSOPSequence} == old
    assert {one.SOPInstanceUID for kind in ("sc", "seg", "sr") for one in kept(parts, kind)} == old
    counts = parts.queue.count_states()
    assert (counts["arrivals answered"], counts["arrivals no result"]) == (1, 1)
    assert worklist.page(parts.store.database, worklist.Query()).total == 1
    take(parts, studies.film(PIXELS, number=2, ViewPosition="LL"))  # never answered: only counted
    assert parts.classify_all() == 0


def test_a_break_between_report_and_record_is_one_report(parts: NodeServices, monkeypatch: pytest.MonkeyPatch) -> None:
    class Power(BaseException):
        pass

    def fails(*_: object) -> None:
        raise Power

    take(parts, studies.film(PIXELS))
    parts.worker.process_batch()
    with monkeypatch.context() as patch:
        patch.setattr(parts.worker.made, "mark_reported", fails)
        with pytest.raises(Power):
            parts.worker.close_studies(quiet_seconds=0)
    assert parts.worker.close_studies(quiet_seconds=0) == 1
    assert parts.worker.close_studies(quiet_seconds=0) == 0
    assert parts.queue.count_states()["deliveries waiting"] == 3
