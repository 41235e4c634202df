"""A run that knows everything the checklists ask for."""

import pytest

from covid_xray.evaluation.measure import measure
from covid_xray.evaluation.predictions import predict_manifest
from covid_xray.evaluation.report.checklist import (
    assess,
)
from support.brightness import CLASSES, Brightness, Described, manifest
from support.reports import BARE

FACTS = {
    "input": {"height": 24, "width": 24, "resize": "bilinear", "pixels_version": 1},
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
