"""Train and use a network as a scikit-learn classifier of image paths."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d

from covid_xray.api.results import Scratch
from covid_xray.errors import BadImage
from covid_xray.inference.finding import Failure


class CXRClassifier(ClassifierMixin, BaseEstimator):
    """Classify paths of chest X-rays; `fit` trains a network, for pipelines and `cross_val_score`.

    Args:
        model: name of a network, `package.module:function`, or a Keras model (`covid_xray.train`).
        epochs: at most so many.
        settings: further settings of `covid_xray.config.Training`, such as `{"image_size": 128, "seed": 1}`.
        output: run folder; `None` for a temporary one that lives as long as the classifier.
        progress: show bars.

    Attributes:
        classes_: the labels in order.
        run_: the finished run (`covid_xray.api.results.Run`).
        predictor_: the `Predictor` of its bundle.

    Images of one patient should be in one fold: give `cross_val_score` a `GroupKFold` and `groups`. Inside `fit` the
    images are divided into training and validation part (and, where there are enough, calibration) once more.

    Examples:
        >>> from sklearn.base import clone
        >>> from sklearn.model_selection import GroupKFold, cross_val_score
        >>> from covid_xray import CXRClassifier
        >>> classifier = clone(CXRClassifier(epochs=8, settings={"image_size": 128}))
        >>> classifier.get_params()["epochs"]
        8
        >>> cross_val_score(classifier, paths, labels, groups=patients, cv=GroupKFold(5))  # doctest: +SKIP
        array([...])
    """

    def __init__(
        self,
        model: Any = "vgg",
        *,
        epochs: int = 30,
        settings: Mapping[str, Any] | None = None,
        output: str | Path | None = None,
        progress: bool = False,
    ) -> None:
        self.model = model
        self.epochs = epochs
        self.settings = settings
        self.output = output
        self.progress = progress

    def fit(self, X: Sequence[str] | NDArray[Any], y: Sequence[str] | NDArray[Any]) -> "CXRClassifier":
        """Train on paths `X` (N, or N x 1) with labels `y` (N).

        Raises:
            ValueError: X holds no paths, or its length is not that of y.
            BadManifest, BadSplit, UsageError: as `covid_xray.train`.
        """
        from covid_xray.api.workflow import train

        paths, labels = _paths(X), column_or_1d(y)
        check_classification_targets(labels)
        if len(paths) != len(labels):
            raise ValueError(f"X has {len(paths)} paths and y has {len(labels)} labels. Give as many.")
        names = {str(label): label for label in np.unique(labels)}
        table = pd.DataFrame({"image": [str(Path(path).absolute()) for path in paths], "label": labels.astype(str)})
        self._scratch = None if self.output else Scratch()
        output = self._scratch.path / "run" if self._scratch else Path(str(self.output))
        settings = {"test_fraction": 0.0, "epochs": self.epochs, **(self.settings or {})}
        self.run_ = train(table, output=output, images="/", model=self.model, progress=self.progress, **settings)
        self.predictor_ = self.run_.predictor()
        self.classes_ = np.array([names[name] for name in self.predictor_.classes])
        self.n_features_in_ = 1
        return self

    def predict_proba(self, X: Sequence[str] | NDArray[Any]) -> NDArray[np.float64]:
        """Return N x C probabilities, rows sum to 1, columns in the order of `classes_`. Raises `BadImage`."""
        check_is_fitted(self)
        rows = []
        for answer in self.predictor_.predict_many(_paths(X)):
            if isinstance(answer, Failure):
                raise BadImage(f"{answer.image}: {answer.message}", code=answer.code)
            rows.append([answer.probabilities[name] for name in self.predictor_.classes])
        values = np.array(rows, dtype=np.float64)
        return values / values.sum(axis=1, keepdims=True)

    def predict(self, X: Sequence[str] | NDArray[Any]) -> NDArray[Any]:
        """Return the most probable class of each path; unlike a `Finding` it never says "cannot say"."""
        best = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[best])

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = True
        tags.input_tags.one_d_array = True
        tags.non_deterministic = True  # unless settings={"deterministic": True}
        return tags


def _paths(X: Any) -> list[str]:
    """Return the paths in N or N x 1 texts. Raises `ValueError` for numbers and other shapes."""
    values = np.asarray(X, dtype=object)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1 or not all(isinstance(value, str | Path) for value in values):
        raise ValueError(f"X must be N (or N x 1) paths of images, not {values.shape} of other values.")
    if not len(values):
        raise ValueError("Found array with 0 sample(s) while a minimum of 1 is required: X holds no path.")
    return [str(value) for value in values]
