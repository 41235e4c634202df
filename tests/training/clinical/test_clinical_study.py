"""What the study changes about patients: swapped or emptied values keep what is filled in."""

import numpy as np
import pytest

from support.patients import fitted, joint, nll, rows


def test_permuting_the_patients_values_lowers_the_joint_score_to_that_of_the_image() -> None:
    from covid_xray.training.clinical.clinical_study import permuted

    train, test = rows(seed=1), rows(seed=2)
    alone = nll(test, test.probabilities.astype(np.float64))
    true = nll(test, joint(fitted(train), test))
    swapped = nll(test, joint(fitted(permuted(train, seed=3)), permuted(test, seed=4)))
    assert true < alone - 0.1
    assert swapped == pytest.approx(alone, abs=0.03)
    assert nll(test, joint(fitted(train), permuted(test, seed=4))) > true + 0.1


def test_permuted_patients_and_emptied_values_keep_what_is_filled_in() -> None:
    from covid_xray.training.clinical.clinical_study import emptied, permuted
    from support.patients import rows

    data = rows()
    known = ~np.isnan(data.clinical)
    assert np.array_equal(~np.isnan(emptied(data).clinical), known)
    assert len(np.unique(emptied(data).clinical[known[:, 0], 0])) == 1
    other = permuted(data, seed=1).clinical
    assert (~np.isnan(other)).sum() == known.sum()
    assert not np.array_equal(np.nan_to_num(other), np.nan_to_num(data.clinical))
