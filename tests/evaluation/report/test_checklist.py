"""The verdicts follow from the facts: each one flips when its fact does, and nothing passes that nobody measured."""

import re

import pytest

from covid_xray.evaluation.measure import measure
from covid_xray.evaluation.predictions import predict_manifest
from covid_xray.evaluation.report.checklist import (
    SOURCES,
    assess,
    checklist_markdown,
    checklist_section,
    count_verdicts,
    items,
)
from covid_xray.evaluation.report.sections import Fold, Table
from support.brightness import CLASSES, Brightness, Described, manifest
from support.reports import BARE

FACTS = {
    "input": {"height": 24, "width": 24, "resize": "bilinear"},
    "temperature": 1.0,
    "training_data": {"source": {"elsewhere": 40}, "license": {"CC BY 4.0": 40}, "fingerprint": "ab" * 32},
    "training": {"settings": {"seed": 0, "batch_size": 8, "epochs": 3, "class_weights": True}, "best_epoch": 2},
}
PART = {"images": 60, "patients": 30, "unnamed": 0, "labels": {"covid": 20}, "sources": {"site 0": 60},
        "sex": {"female": 30, "male": 30},
        "age": {"stated": 60, "median": 50, "quartile_1": 40, "quartile_3": 60}}  # fmt: skip
RUN = {"parts": {"train": PART, "test": PART}, "overlaps": [], "made": {"packages": {"covid-xray": "1"}}, "audit": None}


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    rows = [
        {
            "image": f"{i}.png", "label": CLASSES[i % 3], "source": f"site {(i // 3) % 2}", "patient_id": f"p{i // 2}",
            "sex": "MF"[(i // 3) % 2], "age": str(20 + 20 * ((i // 6) % 2)),
        }
        for i in range(120)
    ]  # fmt: skip
    data = manifest(tmp_path_factory.mktemp("study"), rows)
    described = Described(facts=FACTS)
    metrics = measure(predict_manifest(Brightness(), data), data, described, rounds=20, seed=0)
    return {**BARE, "title": "A | study", **metrics, "run": RUN}


def verdict(metrics, number: str, *, source: str = "CLAIM 2024", facts=FACTS) -> tuple[str, str]:
    found = next(i for i in assess(metrics, facts) if (i.source, i.number) == (source, number))
    return found.verdict, found.evidence


def test_every_item_of_both_guidelines_is_there_once():
    claim = [item.number for item in items() if item.source == "CLAIM 2024"]
    tripod = [item.number for item in items() if item.source == "TRIPOD+AI"]
    assert claim == [str(n) for n in range(1, 45)]
    assert len(set(tripod)) == len(tripod) == 52
    assert sorted({int(re.match(r"\d+", number)[0]) for number in tripod}) == list(range(1, 28))


def test_patients_in_two_parts_fail_and_an_unknown_split_is_to_do(known):
    assert verdict(known, "20")[0] == "PASS"
    shared = {**RUN, "overlaps": ["2 patients are in train and test"]}
    assert verdict({**known, "run": shared}, "20") == ("FAIL", "2 patients are in train and test")
    assert verdict({**known, "run": None}, "20")[0] == "TODO"
    nameless = {**RUN, "parts": {"test": {**PART, "unnamed": 60}}}
    assert verdict({**known, "run": nameless}, "20")[0] == "FAIL"


def test_an_external_test_needs_sources_that_were_not_trained_on(known):
    assert verdict(known, "33")[0] == "PASS"
    assert verdict({**known, "trained_sources": ["site 0"]}, "33")[0] == "FAIL"
    assert verdict({**known, "confounded": "V = 0.9"}, "33")[0] == "FAIL"


def test_intervals_must_be_over_patients(known):
    assert verdict(known, "29")[0] == "PASS"
    assert verdict({**known, "n_patients": None}, "29")[0] == "FAIL"


def test_the_score_must_beat_what_is_had_without_lungs(known):
    def beside(value):
        score = {"value": value, "ci_low": value, "ci_high": value}
        return {**known, "baselines": {"best": {"name": "frame", "figures": {"macro_f1": score}}}}

    assert verdict(beside(0.5), "25", source="TRIPOD+AI")[0] == "PASS"
    assert verdict(beside(1.0), "25", source="TRIPOD+AI")[0] == "FAIL"
    assert verdict(known, "25", source="TRIPOD+AI")[0] == "TODO"
    assert "covid-xray baselines" in verdict(known, "25", source="TRIPOD+AI")[1]
    assert verdict({**beside(0.5), "confounded": "V = 0.9"}, "25", source="TRIPOD+AI") == ("FAIL", "V = 0.9")


def test_the_audit_counts_only_when_it_is_of_this_network(known):
    audit = {"verdict": {"line": "10 % survives"}, "heatmaps": None, "model": {"sha256": known["model"]["sha256"]}}
    assert verdict(known, "30")[0] == "TODO"
    assert verdict({**known, "run": {**RUN, "audit": audit}}, "30") == ("PASS", "10 % survives")
    other = {**audit, "model": {"sha256": "00"}}
    assert verdict({**known, "run": {**RUN, "audit": other}}, "30")[0] == "TODO"


def test_who_is_in_each_part_and_under_which_licence_must_be_stated(known):
    assert verdict(known, "36")[0] == "PASS"
    ageless = {**RUN, "parts": {"test": {**PART, "age": None}}}
    assert verdict({**known, "run": ageless}, "36")[0] == "FAIL"
    assert verdict(known, "18e", source="TRIPOD+AI")[0] == "PASS"
    unknown = {**FACTS, "training_data": {"license": {"CC BY 4.0": 3, "": 1}}}
    assert verdict(known, "18e", source="TRIPOD+AI", facts=unknown) == (
        "FAIL",
        "1 of 4 training images state no licence",
    )


def test_the_validation_part_is_no_test(known):
    assert verdict(known, "32")[0] == "PASS"
    assert verdict({**known, "part": "val"}, "32")[0] == "FAIL"
    assert verdict({**known, "part": "all"}, "32")[0] == "TODO"


def test_a_bare_bundle_without_a_run_passes_little_and_breaks_nothing(known):
    bare = assess({**known, "run": None}, {})
    full = assess(known, FACTS)
    passed = [sum(item.verdict == "PASS" for item in items) for items in (bare, full)]
    assert passed[0] < passed[1] < len(items())
    for number in ("7", "9", "19", "23", "24", "25", "26", "35"):
        assert verdict({**known, "run": None}, number, facts={})[0] != "PASS", number
    assert all(item.evidence for item in bare + full)


def test_the_markdown_holds_a_row_for_each_item_and_no_open_markup(known):
    judged = assess({**known, "confounded": "a | b\n# c"}, FACTS)
    text = checklist_markdown(judged, title="A | study")
    rows = [line for line in text.splitlines() if re.match(r"\| \d", line)]
    assert len(rows) == len(items())
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 5 for row in rows)
    for source in SOURCES:
        assert f"## {source}: {count_verdicts([item for item in judged if item.source == source])}" in text


def test_what_fails_stands_in_the_open_and_the_rest_is_folded(known):
    judged = assess({**known, "trained_sources": ["site 0"]}, FACTS)
    blocks = checklist_section(judged).blocks
    failed = next(block for block in blocks if isinstance(block, Table))
    assert [row[0].text for row in failed.rows] == [f"{i.source} {i.number}" for i in judged if i.verdict == "FAIL"]
    assert sum(isinstance(block, Fold) for block in blocks) == 2
