"""A pseudonym is the same for one patient in one store, and another in another."""

import stat
from pathlib import Path

from covid_xray.images.decode import decode
from covid_xray.images.radiograph import ImageSource
from covid_xray.store.patient_key import patient_key, read_secret
from support.bundles import grey
from support.studies import film


def source(**tags: str) -> ImageSource:
    return decode(film(grey("covid"), **tags)).source


def test_two_films_of_one_patient_have_one_key(tmp_path: Path) -> None:
    first, second = source(PatientID="P-1"), source(PatientID="P-1 ", StudyDate="20200101")
    key = patient_key(tmp_path, first)
    assert key == patient_key(tmp_path, second)
    assert key != patient_key(tmp_path, source(PatientID="P-2"))
    assert key != patient_key(tmp_path, source(PatientID="P-1", IssuerOfPatientID="ELSEWHERE"))
    (tmp_path / "other").mkdir()
    assert key != patient_key(tmp_path / "other", first)


def test_the_number_itself_never_leaves_the_file(tmp_path: Path) -> None:
    known = source(PatientID="CANARY-77")
    assert "CANARY" not in repr(known)
    assert "CANARY" not in str(patient_key(tmp_path, known))


def test_no_number_no_key(tmp_path: Path) -> None:
    assert patient_key(tmp_path, source(PatientID="")) is None
    assert patient_key(tmp_path, ImageSource("PNG")) is None


def test_the_secret_stays_and_is_its_owners(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    assert read_secret(file) == read_secret(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
