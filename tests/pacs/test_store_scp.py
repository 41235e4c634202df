"""The C-STORE provider as its peers see it: statuses, rejections, an object without an end, many at once."""

import contextlib
import io
import logging
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pynetdicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, JPEGBaseline8Bit, JPEGLSLossless, RLELossless

from covid_xray.errors import CovidXrayError, UsageError
from covid_xray.inference.predictor import Predictor
from covid_xray.limits import Limits
from covid_xray.pacs.refusals import read_refusals
from covid_xray.pacs.service import NodeServices
from covid_xray.pacs.store_scp import StoreScp
from covid_xray.pacs.work_queue import LIVE, PULLED, URGENT
from support import drawing, services, studies
from support.chests import chest

PIXELS = chest(height=64, width=64)


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor(studies.make_lung_bundle(tmp_path_factory.mktemp("b") / "bundle"))


@contextlib.contextmanager
def listening(
    folder: Path, predictor: Predictor, *, limits: Limits | None = None, **settings: Any
) -> Iterator[tuple[NodeServices, int]]:
    with services.opened(folder, predictor, **settings) as parts:
        node = StoreScp(parts.settings, parts.receiver, limits=limits or predictor.limits)
        with node.listening() as port:
            yield parts, port


@contextlib.contextmanager
def associated(
    port: int, *, caller: str = "MODALITY", called: str = "COVIDXRAY", syntax: str = ExplicitVRLittleEndian
) -> Iterator[Any]:
    entity = pynetdicom.AE(ae_title=caller)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 20
    for uid in (studies.DX, studies.CR, "1.2.840.10008.1.1", "1.2.840.10008.5.1.4.1.1.7"):
        entity.add_requested_context(uid, syntax)
    association = entity.associate("127.0.0.1", port, ae_title=called)
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def opened(data: bytes) -> pydicom.Dataset:
    return pydicom.dcmread(io.BytesIO(data))


def stored(association: Any, data: bytes) -> int:
    with pydicom.config.disable_value_validation():
        return int(association.send_c_store(opened(data)).Status)


def test_success_is_said_when_it_is_stored_and_echo_is_answered(tmp_path: Path, predictor: Predictor) -> None:
    with listening(tmp_path, predictor) as (parts, port), associated(port) as association:
        assert association.send_c_echo().Status == 0
        for _ in range(5):
            assert stored(association, studies.film(PIXELS)) == 0
        assert parts.queue.count_states() == {"arrivals waiting": 1}
        assert stored(association, studies.film(PIXELS, number=2, SOPClassUID="1.2.840.10008.5.1.4.1.1.7")) == 0
        assert parts.queue.count_states() == {"arrivals waiting": 1, "arrivals no result": 1}
    assert len(list(parts.spool.folder.glob("*.dcm"))) == 1
    assert list(parts.spool.incoming.iterdir()) == []


def refused(parts: NodeServices) -> dict[str, tuple[str, str, int]]:
    """AE title, address and count of the refusals by code."""
    parts.receiver.refusals.flush(force=True)
    found = read_refusals(parts.queue.database)
    return {one.code: (one.ae_title, one.address, one.count) for one in found}


@pytest.mark.parametrize(
    ("caller", "called", "code", "diagnostic"),
    [("STRANGER", "COVIDXRAY", "unknown-caller", 3), ("MODALITY", "SOMEBODY", "wrong-called-title", 7)],
)
def test_strangers_are_rejected_with_the_reason_and_counted(
    caller: str, called: str, code: str, diagnostic: int, tmp_path: Path, predictor: Predictor
) -> None:
    with listening(tmp_path, predictor) as (parts, port):
        for _ in range(2):
            with associated(port, caller=caller, called=called) as association:
                assert association.is_rejected
                assert association.acceptor.primitive.diagnostic == diagnostic
        assert refused(parts) == {code: (caller, "127.0.0.1", 2)}


def test_an_object_that_is_refused_is_counted_with_its_reason_and_sender(tmp_path: Path, predictor: Predictor) -> None:
    with listening(tmp_path, predictor) as (parts, port), associated(port) as association:
        damaged = opened(studies.film(PIXELS))
        damaged.PixelData = damaged.PixelData[:100]
        for _ in range(3):
            association.send_c_store(damaged)
        ((title, address, count),) = refused(parts).values()
        assert (title, address, count) == ("MODALITY", "127.0.0.1", 3)


def test_a_high_priority_of_the_request_makes_it_urgent(tmp_path: Path, predictor: Predictor) -> None:
    with listening(tmp_path, predictor) as (parts, port), associated(port) as association:
        for number, options in enumerate(({"priority": 1}, {"priority": 2}, {"originator_aet": "COVIDXRAY"})):
            with pydicom.config.disable_value_validation():
                one = opened(studies.film(PIXELS, number=number + 1))
                assert association.send_c_store(one, **options).Status == 0
        assert [one.priority for one in parts.queue.claim(limit=3)] == [URGENT, LIVE, PULLED]


def test_failures_have_their_statuses_and_store_nothing(tmp_path: Path, predictor: Predictor) -> None:
    with listening(tmp_path, predictor, waiting=1) as (parts, port), associated(port) as association:
        damaged = opened(studies.film(PIXELS))
        damaged.PixelData = damaged.PixelData[:100]
        assert association.send_c_store(damaged).Status == 0xC210
        several = opened(studies.film(PIXELS))
        several.NumberOfFrames = 5
        assert association.send_c_store(several).Status == 0xC210
        assert parts.queue.count_states() == {}
        assert stored(association, studies.film(PIXELS)) == 0
        assert stored(association, studies.film(PIXELS, number=2)) == 0xA700
        assert parts.queue.count_states() == {"arrivals waiting": 1}


def test_the_unforeseen_is_a_processing_failure_and_tells_nothing(
    tmp_path: Path, predictor: Predictor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def breaks(*_: object, **__: object) -> None:
        raise RuntimeError("CANARY")

    caplog.set_level(logging.DEBUG)
    with listening(tmp_path, predictor) as (parts, port), associated(port) as association:
        monkeypatch.setattr(parts.receiver, "receive", breaks)
        assert stored(association, studies.film(PIXELS, PatientName="CANARY")) == 0x0110
    assert "unexpectedly (RuntimeError)" in caplog.text
    assert "refused from MODALITY at 127.0.0.1" in caplog.text
    assert "CANARY" not in caplog.text


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless, JPEGBaseline8Bit])
def test_compressed_objects_are_taken_as_they_are(syntax: str, tmp_path: Path, predictor: Predictor) -> None:
    frame = drawing.jpeg(PIXELS) if syntax == JPEGBaseline8Bit else None
    data = drawing.dicom(
        PIXELS,
        bits=8,
        syntax=syntax,
        frame=frame,
        SOPInstanceUID="1.2.3.1",
        StudyInstanceUID="1.2.3",
        SeriesInstanceUID="1.2.3.4",
    )
    with listening(tmp_path, predictor) as (parts, port), associated(port, syntax=syntax) as association:
        assert stored(association, data) == 0
        (file,) = parts.spool.folder.glob("*.dcm")
        assert pydicom.dcmread(file).file_meta.TransferSyntaxUID == syntax
        assert parts.classify_all() == 1
        assert parts.queue.count_states() == {"arrivals answered": 1}


@pytest.mark.parametrize("limits", [{"upload_bytes": 1_000_000}, {"upload_bytes": 100_000}, {"pixels": 500}])
def test_what_exceeds_a_limit_is_out_of_resources_with_a_comment(
    limits: dict, tmp_path: Path, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1.5 MB: more than a file may have, more than is kept on disk, and more pixels than allowed."""
    large = opened(studies.film(chest(height=1000, width=1500), PatientName="CANARY"))
    with listening(tmp_path, predictor, limits=Limits(**limits)) as (parts, port), associated(port) as association:
        monkeypatch.setattr(parts.receiver, "_limits", Limits(**limits))
        answer = association.send_c_store(large)
        assert answer.Status == 0xA700
        assert re.search(r"larger|too large", answer.ErrorComment, re.IGNORECASE)
        assert "CANARY" not in answer.ErrorComment
        assert len(answer.ErrorComment) <= 64
        assert stored(association, studies.film(chest(height=20, width=20))) == 0
        assert parts.queue.count_states() == {"arrivals waiting": 1}


def test_what_cannot_be_decoded_says_so_in_a_comment(tmp_path: Path, predictor: Predictor) -> None:
    with listening(tmp_path, predictor) as (_, port), associated(port) as association:
        damaged = opened(studies.film(PIXELS))
        damaged.PixelData = damaged.PixelData[:100]
        answer = association.send_c_store(damaged)
        assert (answer.Status, answer.ErrorComment) == (0xC210, "The file holds fewer pixels than its tags state.")


def test_an_object_without_an_end_ends_its_association(tmp_path: Path, predictor: Predictor) -> None:
    small = Limits(upload_bytes=100_000)
    huge = opened(studies.film(chest(height=2000, width=2000)))
    with listening(tmp_path, predictor, limits=small) as (parts, port), associated(port) as association:
        with contextlib.suppress(RuntimeError):
            assert association.send_c_store(huge).get("Status") is None
        for _ in range(100):
            if association.is_aborted:
                break
            time.sleep(0.05)
        assert association.is_aborted
        assert parts.queue.count_states() == {}
        with associated(port) as another:
            assert stored(another, studies.film(PIXELS)) == 0
        assert list(parts.spool.incoming.iterdir()) == []


def test_many_associations_at_once_and_no_more(tmp_path: Path, predictor: Predictor) -> None:
    with listening(tmp_path, predictor, associations=4) as (parts, port):
        statuses: list[int] = []

        def send(first: int) -> None:
            with associated(port) as association:
                barrier.wait(20)
                for number in range(first, first + 5):
                    statuses.append(stored(association, studies.film(PIXELS, number=number)))

        barrier = threading.Barrier(5)
        threads = [threading.Thread(target=send, args=(1 + 10 * number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(200):
            if barrier.n_waiting == 4:
                break
            time.sleep(0.05)
        with associated(port) as fifth:
            assert fifth.is_rejected
        barrier.wait(20)
        for thread in threads:
            thread.join()
        assert statuses == [0] * 20
        assert parts.queue.count_states() == {"arrivals waiting": 20}


def test_an_address_that_is_taken_is_said(tmp_path: Path, predictor: Predictor) -> None:
    with (
        listening(tmp_path / "a", predictor) as (_, port),
        services.opened(tmp_path / "b", predictor, port=port) as parts,
    ):
        node = StoreScp(parts.settings, parts.receiver, limits=predictor.limits)
        with pytest.raises(UsageError, match="Cannot listen"), node.listening():
            pass
    assert issubclass(UsageError, CovidXrayError)
