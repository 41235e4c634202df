"""Clinical columns of a table: read by name and alias, left out with a reason where they cannot be believed."""

import numpy as np
import pandas as pd

from covid_xray.data.manifest.clinical_table import NAMES, clinical_table, patterns


def table(**columns: list[str]) -> pd.DataFrame:
    count = len(next(iter(columns.values())))
    return pd.DataFrame({"image": [f"{k}.png" for k in range(count)], **columns})


def test_columns_are_found_by_name_and_alias() -> None:
    found = clinical_table(table(age=["63", ""], offset_days=["5", "-2"], weight=["70", "80"]))
    assert found.columns == ("age", "days_since_onset")
    assert found.record(0) == {"age": 63.0, "days_since_onset": 5.0}
    assert found.record(1) == {"days_since_onset": -2.0}
    assert found.known.sum() == 3


def test_what_cannot_be_believed_is_left_out_and_listed() -> None:
    found = clinical_table(
        table(temperature=["95", "38.5"], spo2=["61.3", "97"], leukocytes=["5", "7"], neutrophils=["6", "4"])
    )
    assert found.record(0) == {}
    assert found.record(1) == {"temperature": 38.5, "spo2": 97.0, "leukocytes": 7.0, "neutrophils": 4.0}
    reasons = dict(zip(found.refused["field"], found.refused["reason"], strict=True))
    assert set(found.refused["image"]) == {"0.png"}
    assert "Fahrenheit" in reasons["temperature"]
    assert "mmHg" in reasons["spo2"]
    assert "not in percent" in reasons["leukocytes"]


def test_a_table_without_clinical_columns_states_nothing() -> None:
    found = clinical_table(table(label=["covid"]))
    assert np.isnan(found.values).all()
    assert found.values.shape == (1, len(NAMES))
    assert found.refused.empty


def test_patterns_name_what_is_stated() -> None:
    known = clinical_table(table(age=["63", "", "5"], sex=["F", "", ""])).known
    assert patterns(known).tolist() == ["age sex", "", "age"]
