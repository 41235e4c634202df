"""What became of patients: who counts, what is told from what, and that chance tells nothing."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from covid_xray.data.manifest.clinical_table import NAMES
from covid_xray.evaluation.clinical.clinical_page import outcomes_page
from covid_xray.evaluation.clinical.outcomes import Patients, auroc, first_images, measure_outcomes, slope

AGE, DAY = NAMES.index("age"), NAMES.index("days_since_onset")


def drawn(count: int = 160, *, seed: int = 0, tells: bool = True) -> Patients:
    """Patients of one source whose age tells who dies; of a second source everybody died."""
    random = np.random.default_rng(seed)
    died = random.random(count) < 0.4
    clinical = np.full((count, len(NAMES)), np.nan)
    clinical[:, AGE] = random.normal(55 + 20 * died if tells else 60, 8)
    clinical[random.random(count) < 0.3, AGE] = np.nan
    source = np.where(np.arange(count) < 20, "all died", "mixed")
    survival = np.where(died | (source == "all died"), "N", "Y")
    table = pd.DataFrame({"image": [f"{k:03}" for k in range(count)], "source": source, "survival": survival})
    return Patients(table, random.normal(0, 1, (count, 12)), clinical, np.array([f"p{k}" for k in range(count)]))


@pytest.fixture(scope="module")
def found() -> dict:
    return measure_outcomes(drawn(), rounds=100)["survival"]


def test_a_value_that_tells_is_found_and_one_source_that_has_one_end_is_left_out(found: dict) -> None:
    assert found["sources"]["all died"] == {"with": 20, "without": 0}
    assert found["patients"] == 140
    assert found["models"]["clinical"]["auroc"]["ci_low"] > 0.7
    assert found["models"]["clinical"]["brier"]["value"] < found["base_brier"] - 0.03
    assert found["models"]["image"]["auroc"]["ci_low"] < 0.5 < found["models"]["image"]["auroc"]["ci_high"]
    assert found["gain"]["over"] == "clinical"


def test_chance_tells_nothing() -> None:
    chance = measure_outcomes(drawn(tells=False, seed=3), rounds=100)["survival"]["models"]
    assert all(figures["auroc"]["ci_low"] < 0.55 for figures in chance.values())


def test_one_image_of_each_patient_the_earliest() -> None:
    patients = drawn(400)
    days = np.arange(400)[::-1] % 4
    patients.clinical[:, DAY] = days
    people = np.array([f"p{k // 4}" for k in range(400)])
    many = Patients(patients.table.assign(source="mixed"), patients.embedding, patients.clinical, people)
    one, died, _ = first_images(many, "survival")
    assert len(one.people) == len(set(people)) == 100
    assert (one.clinical[:, DAY] == 0).all()
    any_died = pd.Series(many.table["survival"] == "N").groupby(people).any()
    assert died.tolist() == any_died.loc[one.people].tolist()


def test_too_few_are_counted_and_not_measured() -> None:
    few = measure_outcomes(drawn(30), rounds=20)["survival"]
    assert few["too_few"]
    assert "models" not in few


def test_figures_are_those_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    has = random.random(200) < 0.4
    p = np.clip(random.beta(2, 3, 200) + 0.15 * has, 0.01, 0.99).round(2)
    assert auroc(has, p) == pytest.approx(roc_auc_score(has, p))
    logit = np.log(p / (1 - p))[:, None]
    expected = LogisticRegression(C=1e9, tol=1e-8, max_iter=500).fit(logit, has).coef_[0, 0]
    assert slope(has, p) == pytest.approx(expected, rel=1e-3)
    assert np.isnan(auroc(np.ones(5, bool), np.full(5, 0.5)))


def test_the_page_says_exploratory_and_when_missingness_tells(found: dict) -> None:
    told = {"model": {"name": "net"}, "images": 160, "outcomes": {"survival": found}, "severity": "No severity."}
    page = outcomes_page(told)
    assert "Exploratory" in page
    assert "all died 20 with, 0 without" in page
    assert "Missingness alone predicts" not in page
    loud = json.loads(json.dumps(found))
    loud["models"]["missingness"]["auroc"] |= {"ci_low": 0.6, "ci_high": 0.8}
    assert "Missingness alone predicts" in outcomes_page({**told, "outcomes": {"survival": loud}})
