"""The summary tells what was found, per class and source, and why files were refused."""

from pathlib import Path

import pandas as pd

from covid_xray.data.manifest.manifest import Manifest, counts, quarantine_table, reasons, summary
from covid_xray.data.manifest.readers import Refusal

TABLE = pd.DataFrame(
    [("a", "covid", "x", "train"), ("b", "covid", "y", ""), ("c", "normal", "x", "test")],
    columns=["image", "label", "source", "split"],
)
REFUSED = [Refusal("d", "truncated", "expected more"), Refusal("e", "truncated", "expected even more")]
MANIFEST = Manifest(TABLE, Path(), quarantine_table(REFUSED), ("a note",))


def test_counts():
    by_source = counts(MANIFEST, by="source")
    assert by_source.loc["covid"].to_dict() == {"x": 1, "y": 1, "all": 2}
    assert counts(MANIFEST, by="split").loc["covid", "(none)"] == 1
    assert counts(MANIFEST)["images"].to_dict() == {"covid": 2, "normal": 1}
    assert counts(MANIFEST, by="nowhere")["images"].sum() == 3


def test_reasons_are_grouped_by_code():
    assert reasons(MANIFEST).to_numpy().tolist() == [["truncated", 2, "expected more", "d"]]
    assert reasons(Manifest(TABLE, Path(), quarantine_table([]))).empty


def test_summary_is_complete():
    text = summary(MANIFEST)
    for part in ("found 5 = 3 indexed + 2 quarantined", "covid", "quarantined 2 truncated", "a note"):
        assert part in text
