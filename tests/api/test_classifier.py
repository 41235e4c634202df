"""The scikit-learn classifier keeps to scikit-learn's rules, as far as paths allow."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from sklearn.base import clone
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from covid_xray import CXRClassifier
from covid_xray.errors import BadImage

from .conftest import SMALL

PATHS = "inputs are paths of radiographs: the check fits numbers, which are refused"
SETTINGS = {name: value for name, value in SMALL.items() if name != "epochs"}
# Checks that fit or predict on numbers.  (scikit-learn 1.9)
EXPECTED = dict.fromkeys(
    [
        "check_classifier_data_not_an_array", "check_classifiers_classes", "check_classifiers_one_label",
        "check_classifiers_regression_target", "check_classifiers_train", "check_complex_data",
        "check_dict_unchanged", "check_dont_overwrite_attributes", "check_dont_overwrite_parameters",
        "check_dtype_object",
        "check_estimator_sparse_array", "check_estimator_sparse_matrix", "check_estimator_sparse_tag",
        "check_estimators_dtypes", "check_estimators_fit_returns_self", "check_estimators_nan_inf",
        "check_estimators_overwrite_params", "check_estimators_pickle", "check_f_contiguous_array_estimator",
        "check_fit2d_1feature", "check_fit2d_1sample", "check_fit2d_predict1d",
        "check_fit_check_is_fitted",
        "check_fit_idempotent", "check_fit_score_takes_y", "check_methods_sample_order_invariance",
        "check_methods_subset_invariance", "check_n_features_in", "check_n_features_in_after_fitting",
        "check_pipeline_consistency", "check_positive_only_tag_during_fit", "check_readonly_memmap_input",
        "check_supervised_y_2d", "check_dataframe_column_names_consistency",
        "check_estimators_empty_data_messages", "check_requires_y_none",
    ],
    PATHS,
)  # fmt: skip


@parametrize_with_checks([CXRClassifier()], expected_failed_checks=lambda estimator: EXPECTED)
def test_rules_of_scikit_learn(estimator, check) -> None:
    check(estimator)


@pytest.mark.slow
def test_it_learns_from_paths_in_cross_validation(pictures: Path) -> None:
    paths = np.array(sorted(map(str, pictures.rglob("*.png"))))
    labels = np.array([Path(path).parent.name for path in paths])
    classifier = CXRClassifier(epochs=8, settings=SETTINGS)
    scores = cross_val_score(classifier, paths, labels, groups=np.arange(60) % 7, cv=GroupKFold(2))
    assert scores.min() > 0.5


@pytest.mark.slow
def test_classes_probabilities_and_failures(pictures: Path, tmp_path: Path) -> None:
    paths = sorted(map(str, pictures.rglob("*.png")))
    labels = [{"covid": 7, "normal": 2, "virus": 5}[Path(path).parent.name] for path in paths]
    classifier = clone(CXRClassifier(epochs=1, settings=SETTINGS, output=tmp_path / "run"))
    assert classifier.fit(np.array(paths)[:, None], labels) is classifier
    assert sorted(classifier.classes_) == [2, 5, 7]
    assert classifier.predict_proba(paths[:3]).shape == (3, 3)
    assert set(classifier.predict(paths)) <= {2, 5, 7}
    assert (tmp_path / "run" / "bundle").is_dir()
    with pytest.raises(BadImage, match="No such"):
        classifier.predict(["none.png"])


@pytest.mark.parametrize("X", [np.zeros((4, 3)), [1, 2, 3, 4], [], [["a", "b"]]])
def test_other_inputs_are_refused(X) -> None:
    with pytest.raises(ValueError, match="path"):
        CXRClassifier().fit(X, [0, 1, 0, 1][: len(X)])
