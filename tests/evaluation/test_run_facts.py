"""What a run folder tells: who is in which part, what two parts share, how it was made."""

import json

import pandas as pd

from covid_xray.evaluation.run_facts import read_run
from support.brightness import CLASSES, manifest
from support.reports import AUDIT


def study(root, **columns):
    rows = [
        {"image": f"{i:03d}.png", "label": CLASSES[i % 3], **{name: f(i) for name, f in columns.items()}}
        for i in range(60)
    ]
    return manifest(root, rows)


def halves(data) -> pd.Series:
    images = data.table["image"]
    return pd.Series(["train" if i < 30 else "test" for i in range(60)], index=pd.Index(images, name="image"))


def test_people_of_each_part_are_counted(tmp_path):
    data = study(tmp_path, patient_id=lambda i: f"p{i // 2}" if i < 40 else "", source=lambda i: "AB"[i % 2],
                 sex=lambda i: "MF"[i % 2] if i < 30 else "M", age=lambda i: str(i) if i < 30 else "")  # fmt: skip
    found = read_run(tmp_path, data, halves(data))["parts"]
    assert found["train"] == {
        "images": 30, "patients": 15, "unnamed": 0, "labels": {"covid": 10, "normal": 10, "virus": 10},
        "sources": {"A": 15, "B": 15}, "sex": {"female": None, "male": None},
        "age": {"stated": 30, "median": 14.5, "quartile_1": 7.25, "quartile_3": 21.75},
    }  # fmt: skip
    assert (found["test"]["patients"], found["test"]["unnamed"]) == (25, 20)
    assert found["test"]["sex"] == {"male": 30}
    assert found["test"]["age"] is None


def test_a_patient_on_both_sides_is_named(tmp_path):
    data = study(tmp_path, patient_id=lambda i: f"p{i % 29}")
    assert any("patient" in text for text in read_run(tmp_path, data, halves(data))["overlaps"])
    apart = study(tmp_path, patient_id=lambda i: f"p{i}")
    assert read_run(tmp_path, apart, halves(apart))["overlaps"] == []


def test_a_split_that_does_not_know_all_images_says_nothing_of_overlaps(tmp_path):
    data = study(tmp_path, patient_id=lambda i: f"p{i}")
    found = read_run(tmp_path, data, halves(data).iloc[:40])
    assert found["overlaps"] is None
    assert found["parts"]["test"]["images"] == 10
    assert read_run(tmp_path, data, None)["parts"] is None


def test_an_audit_and_the_making_are_read_where_they_are_and_the_command_line_is_not(tmp_path):
    data = study(tmp_path / "data")
    assert read_run(tmp_path, data, None)["audit"] is None
    (tmp_path / "audit.json").write_text("{broken")
    (tmp_path / "manifest.json").write_text(
        json.dumps({"packages": {"numpy": "2"}, "command": ["covid-xray", "/home/me"]})
    )
    found = read_run(tmp_path, data, None)
    assert found["audit"] is None
    assert found["made"] == {"packages": {"numpy": "2"}}
    (tmp_path / "audit.json").write_text('{"format": 1, "verdict": 1}')  # of another version
    assert read_run(tmp_path, data, None)["audit"] is None
    (tmp_path / "audit.json").write_text(json.dumps(AUDIT))
    assert read_run(tmp_path, data, None)["audit"] == AUDIT
    (tmp_path / "audit.json").write_text(json.dumps({**AUDIT, "verdicts": 1}))
    assert read_run(tmp_path, data, None)["audit"] is None
