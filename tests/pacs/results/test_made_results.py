"""Records of what was made: private, forgotten after a while, and kept apart by study."""

import stat
from pathlib import Path

from covid_xray.images.decode import decode
from covid_xray.pacs.results.made_results import MadeResults, image_record
from covid_xray.pacs.source_object import Original, read_tags
from support import studies
from support.chests import chest

PIXELS = chest(height=32, width=32)


def original(**tags: object) -> Original:
    data = studies.film(PIXELS, **tags)
    return Original(read_tags(data), decode(data))


def add(made: MadeResults, one: Original) -> None:
    objects = {"sc": studies.film(PIXELS, SOPInstanceUID="1.2.9")}  # any object
    made.add(image_record(one, objects, arrival="a" * 32, outcome=("answered", None)), one, None)


def test_the_first_version_withdraws_nothing_and_a_second_the_results_of_the_first(tmp_path: Path) -> None:
    made = MadeResults(tmp_path / "made")
    assert made.withdrawal(original()) is None
    add(made, original())
    assert made.withdrawal(original()) is None
    merged = made.withdrawal(original(PatientID="P-2"))
    corrected = made.withdrawal(original(StudyDescription="Thorax"))
    assert merged is not None
    assert corrected is not None
    assert (merged.patient_changed, corrected.patient_changed) == (True, False)
    assert [one.sop for one in merged.objects] == ["1.2.9"]
    assert MadeResults(tmp_path / "made").withdrawal(original(PatientID="P-2")) == merged


def test_records_are_private_and_forgotten(tmp_path: Path) -> None:
    made = MadeResults(tmp_path / "made")
    add(made, original())
    files = [path for path in (tmp_path / "made").rglob("*") if path.is_file()]
    assert len(files) == 2
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert not [path for path in files if b"Phantom" in path.read_bytes()]
    made.expire(hours=0)
    made.expire(hours=1)
    assert all(path.exists() for path in files)
    made.expire(hours=-1)
    assert not any(path.exists() for path in files)
