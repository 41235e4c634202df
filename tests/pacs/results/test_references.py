"""References: what an evidence sequence says is read back."""

from covid_xray.pacs.results.references import ObjectReference, evidence, read_evidence


def test_evidence_is_grouped_by_study_and_series_and_read_back() -> None:
    objects = [ObjectReference("1.1", series, "1.2.840", f"{series}.{number}") for series in "12" for number in "12"]
    objects.append(ObjectReference("1.2", "9", "1.2.840", "9.1"))
    items = evidence(objects)
    assert [len(item.ReferencedSeriesSequence) for item in items] == [2, 1]
    assert read_evidence(items) == objects
