"""The doctor on data sets that are spoilt on purpose, one pitfall at a time: it must say so, and only then."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from covid_xray.data.doctor import examine, write_diagnosis
from covid_xray.data.doctor_page import shown
from covid_xray.data.manifest import Manifest, quarantine_table
from covid_xray.data.pitfall import Verdict, judged
from covid_xray.data.pitfalls import age_band, child, size
from covid_xray.data.pixel_facts import PixelFacts
from covid_xray.data.pixel_pitfalls import likeness
from covid_xray.data.readers import Refusal

N = 600


def clean(**columns) -> tuple[Manifest, PixelFacts]:
    """A set without a pitfall: two classes, three sources, everything known and balanced."""
    random = np.random.default_rng(0)
    i = np.arange(N)
    table = pd.DataFrame(
        {
            "image": [f"i{k:04d}.png" for k in i],
            "label": np.where(i % 2, "covid", "normal"),
            "patient_id": [f"p{k}" for k in i],
            "source": random.choice(["x", "y", "z"], N),
            "view": random.choice(["PA", "AP"], N),
            "age": random.integers(30, 80, N).astype(str),
            "sex": random.choice(["M", "F"], N),
            "license": "CC BY 4.0",
            "sha256": [f"{k:064x}" for k in i],
            "pixels_sha256": [f"{k:064x}" for k in i],
            "group": "",
            "file_format": "PNG",
            "file_mode": "L",
            "file_width": "512",
            "file_height": "512",
            "file_bytes": "10000",
        }
    ).assign(**columns)
    template = random.normal(size=(32, 32))
    pictures = template + random.normal(scale=0.5, size=(N, 32, 32))
    thumbnails = np.clip(128 + 40 * pictures, 0, 255).astype(np.uint8)
    facts = pd.DataFrame({"border": 0.0, "marks": 0.0, "edge_marks": 0.0}, index=table["image"])
    return Manifest(table.astype(str), Path(), quarantine_table([])), PixelFacts(thumbnails, facts)


def verdicts(manifest: Manifest, facts: PixelFacts) -> dict[str, Verdict]:
    return {p.name: p.verdict for p in examine(manifest, pixels=facts).pitfalls}


def changed(**columns) -> set[str]:
    """The checks that no longer pass when these columns are so."""
    return {name for name, verdict in verdicts(*clean(**columns)).items() if verdict is not Verdict.PASS}


def test_a_clean_set_passes():
    assert changed() == set()


def test_one_class_is_not_asked_what_tells_the_classes():
    found = verdicts(*clean(label="covid"))
    assert found["class-counts"] is Verdict.FAIL
    assert not [name for name in found if name.startswith("class-and")]


I = np.arange(N)  # noqa: E741


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"label": np.where(I < 20, "covid", "normal")}, {"class-counts"}),
        ({"sha256": np.where(I < 3, "same", [f"{k}" for k in I])},
         {"copies", "copies-across-classes", "patients-with-two-ids"}),
        ({"group": np.where(np.isin(I, [0, 2]), "d1", "")}, {"copies", "patients-with-two-ids"}),
        ({"patient_id": ""}, {"patients-known", "metadata"}),
        ({"patient_id": np.where(I < 2, "p", [f"p{k}" for k in I])}, {"patients-in-two-classes"}),
        ({"source": np.where(I % 2, "x", "y")}, {"one-source-per-class", "class-and-source"}),
        ({"source": "x"}, {"one-source-per-class"}),
        ({"view": np.where(I % 2, "PA", "AP")}, {"class-and-view"}),
        ({"view": np.where(I == 5, "L", "PA")}, {"views"}),
        ({"sex": np.where(I % 2, "M", "F")}, {"class-and-sex"}),
        ({"age": np.where(I % 2, "50", "5")}, {"class-and-age", "class-and-children"}),
        ({"file_width": np.where(I % 2, "512", "1024")}, {"class-and-size"}),
        ({"width": np.where(I % 2, "512", "1024"), "height": "512"}, {"class-and-original-size"}),
        ({"file_format": np.where(I % 2, "PNG", "JPEG")}, {"class-and-format"}),
        ({"license": "CC BY-NC"}, {"licenses"}),
        ({"license": ""}, {"licenses"}),
        ({"split": np.where(I < N // 2, "train", "test"),
          "group": np.where(I % (N // 2) < 2, I % (N // 2), "").astype(str)},
         {"copies", "copies-across-split", "patients-with-two-ids"}),
        ({"split": np.where(I < N // 2, "train", "test"), "patient_id": [f"p{k % (N // 2)}" for k in I]},
         {"patients-across-split"}),
    ],
)  # fmt: skip
def test_each_pitfall_is_found_by_its_check(columns, expected):
    found = changed(**columns)
    assert expected <= found
    assert found - expected <= {"class-counts", "one-source-per-class", "metadata", "class-and-size"}


def test_the_grave_ones_fail_and_name_examples():
    manifest, facts = clean(source=np.where(I % 2, "x", "y"), sha256=np.where(I < 2, "same", [f"{k}" for k in I]))
    found = {p.name: p for p in examine(manifest, pixels=facts).pitfalls}
    assert found["class-and-source"].verdict is Verdict.FAIL
    assert found["class-and-source"].number == pytest.approx(1, abs=0.01)
    assert found["one-source-per-class"].verdict is Verdict.FAIL
    assert found["copies-across-classes"].verdict is Verdict.FAIL
    assert found["copies-across-classes"].examples == ("covid | normal: i0000.png | i0001.png",)
    assert found["copies-across-classes"].advice


def test_near_copies_that_were_not_searched_are_not_called_absent():
    manifest, facts = clean()
    without = Manifest(manifest.table.drop(columns="group"), Path(), manifest.quarantine)
    assert verdicts(without, facts)["copies"] is Verdict.WARN


def test_unreadable_files_are_counted_and_refused_rows_are_not():
    manifest, facts = clean()
    rotten = quarantine_table([Refusal("x.png", "truncated", "r"), Refusal("y.png", "license", "r")])
    diagnosis = examine(Manifest(manifest.table, Path(), rotten), pixels=facts)
    readable = next(p for p in diagnosis.pitfalls if p.name == "readable")
    assert readable.verdict is Verdict.WARN
    assert readable.number == pytest.approx(1 / (N + 2))
    assert readable.examples == ("x.png: truncated",)


def test_pixels_marks_borders_odd_and_turned_pictures():
    manifest, facts = clean()
    thumbnails, table = facts.thumbnails.copy(), facts.table.copy()
    thumbnails[7] = thumbnails[7][::-1]
    thumbnails[8] = np.random.default_rng(5).integers(0, 256, (32, 32))
    table["edge_marks"] = np.where(I % 2, 1.0, 0.0)
    table["border"] = np.where(I % 3, 0.0, 0.2)
    found = {p.name: p for p in examine(manifest, pixels=PixelFacts(thumbnails, table)).pitfalls}
    assert found["upside-down"].examples == ("i0007.png",)
    assert any(name.startswith("i0008.png") for name in found["unlike-a-chest"].examples)
    assert found["marks"].verdict is Verdict.FAIL
    assert "covid 100%, normal 0%" in found["marks"].says
    assert found["borders"].verdict is Verdict.WARN  # a third of the images has them, in both classes alike


def test_likeness_is_a_correlation():
    ramp = np.tile(np.arange(32, dtype=np.uint8)[:, None], (1, 32))
    near, turned = likeness(np.stack([ramp, ramp, ramp]))
    assert near == pytest.approx([1, 1, 1])
    assert turned == pytest.approx([-1, -1, -1])


def test_bands_and_sizes():
    table = pd.DataFrame(
        {"age": ["17", "18", "79.5", "", "x"], "source": ["a", "a", "a", "kermany", "a"],
         "file_width": ["512", "512", "", "0", "1024"], "file_height": ["512", "256", "9", "0", "1024"]}
    )  # fmt: skip
    assert age_band(table).tolist() == ["0-17", "18-39", "60-79", "", ""]
    assert child(table).tolist() == ["child", "adult", "adult", "child", ""]
    assert size(table).tolist() == ["18 1.0", "17 2.0", "", "", "20 1.0"]


def test_judged():
    assert [judged(v, warn=0.1, fail=0.3) for v in (0.1, 0.2, 0.31, float("nan"))] == ["PASS", "WARN", "FAIL", "WARN"]


def test_page_stands_alone_and_escapes_what_the_data_say(tmp_path):
    manifest, facts = clean(label=np.where(I % 2, "covid", "<script>alert(1)</script>"), width="", height="1")
    written = write_diagnosis(examine(manifest, title="a <b> set", pixels=facts), tmp_path)
    data, html = json.loads(written[0].read_text()), written[1].read_text()
    assert "<script" not in html
    assert "a &lt;b&gt; set" in html
    assert "http" not in html.replace("http-equiv", "")
    assert data["facts"]["images"] == N
    assert sum(data["verdicts"].values()) == len(data["pitfalls"])
    for pitfall in data["pitfalls"]:
        assert f'id="{pitfall["name"]}"' in html
    assert next(p for p in data["pitfalls"] if p["name"] == "class-and-original-size")["number"] is None


def test_numbers_for_people():
    assert [shown(v) for v in (None, 3.0, 1234.0, 0.256, 0.0)] == ["not known", "3", "1,234", "0.26", "0"]
