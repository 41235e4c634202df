"""The fusion network learns what values tell and ignores what is filled in."""

from dataclasses import replace

import numpy as np
import pytest

from covid_xray.errors import InputRefused
from support.patients import SPO2, fitted, joint, nll, rows


@pytest.fixture(scope="module")
def telling():
    """A network trained on patients whose age tells, and other such patients."""
    return fitted(rows(seed=1)), rows(seed=2)


def test_values_that_tell_lower_the_loss_on_other_patients(telling) -> None:
    model, data = telling
    assert nll(data, joint(model, data)) < nll(data, data.probabilities.astype(np.float64)) - 0.1


def test_what_is_filled_in_cannot_speak_for_a_class() -> None:
    """Ages of one distribution, stated mostly of covid; SpO2 of covid only. The usual design gains, ours does not."""
    train, test = rows(seed=1, tells=False, leak=True), rows(seed=2, tells=False, leak=True)
    alone = nll(test, test.probabilities.astype(np.float64))
    model = fitted(train)
    assert nll(test, joint(fitted(train, naive=True), test)) < alone - 0.2
    assert nll(test, joint(model, test)) == pytest.approx(alone, abs=0.03)
    terms = np.asarray(model(test.inputs)["terms"])
    assert np.abs(terms[:, SPO2]).max() == 0


def test_a_field_without_patients_of_two_classes_is_refused() -> None:
    from covid_xray.training.clinical.fusion_training import fit

    data = rows(seed=1)
    alone = replace(data, clinical=np.where(data.labels[:, None] == 0, data.clinical, np.nan).astype(np.float32))
    with pytest.raises(InputRefused, match="20 patients of two classes"):
        fit(alone)
