"""Predict a manifest into one table of images, labels and probabilities, joined by image name.

A missing, duplicate or unexpected answer is an error; an image that could not be scored is kept with its reason.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from covid_xray.bundle.contents import Contents
from covid_xray.data.manifest.manifest import Manifest
from covid_xray.errors import BadManifest, CovidXrayError, closest
from covid_xray.files import replacing
from covid_xray.inference.finding import Failure, Finding

FAILED = ("image", "label", "code", "message")
SCORED = ("image", "label", "predicted")
REASONS, ERROR, MESSAGE = "reasons", "error", "error_message"
Progress = Callable[[int, int], None]


class ModelIdentity(Protocol):
    """Description of the network for the report."""

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def version(self) -> str: ...  # noqa: D102

    @property
    def sha256(self) -> str: ...  # noqa: D102

    @property
    def facts(self) -> Mapping[str, Any]: ...  # noqa: D102

    @property
    def contents(self) -> Contents: ...  # noqa: D102


class ImagePredictor(Protocol):
    """The part of `inference.predictor.Predictor` that evaluation needs."""

    @property
    def classes(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def bundle(self) -> ModelIdentity: ...  # noqa: D102

    def predict_many(  # noqa: D102
        self, sources: Iterable[Path], *, class_maps: bool = False
    ) -> Iterator[Finding | Failure]: ...


@dataclass(frozen=True, eq=False)
class Predictions:
    """One row for each scored image, and the images without a score."""

    # `image`, `label`, `predicted` (the most probable class), `p_<class>` for each class, `reasons` (why the answer
    # would be "cannot say", or ""), then the columns of the manifest
    table: pd.DataFrame
    classes: tuple[str, ...]  # in the order of the probabilities
    failures: pd.DataFrame  # `image`, `label`, `code`, `message`

    @property
    def labels(self) -> NDArray[np.int64]:
        """N class codes, 0..C-1."""
        return pd.Categorical(self.table["label"], categories=list(self.classes)).codes.astype(np.int64)

    @property
    def predicted(self) -> NDArray[np.int64]:
        """N class codes of the most probable class."""
        return pd.Categorical(self.table["predicted"], categories=list(self.classes)).codes.astype(np.int64)

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """N x C, rows sum to 1."""
        return self.table[probability_columns(self.classes)].to_numpy(dtype=np.float64)

    def take(self, mask: Any) -> "Predictions":
        """Select the scored images where `mask` (N) is true; the failures stay."""
        return Predictions(self.table[np.asarray(mask, dtype=bool)].reset_index(drop=True), self.classes, self.failures)


def probability_columns(classes: Sequence[str]) -> list[str]:
    """Return the names of the columns that hold the probabilities."""
    return [f"p_{name}" for name in classes]


def predict_manifest(predictor: ImagePredictor, manifest: Manifest, *, progress: Progress | None = None) -> Predictions:
    """Predict every image of `manifest`, in one pass.

    Args:
        predictor: answers, in any order, with the requested path in `image`.
        manifest: labels are among the predictor's classes.
        progress: called with (images done, images in all).

    Raises:
        BadManifest: no image, or a label that the network does not know.
        CovidXrayError: code `lost-answer`, when answers and images do not match one to one.
    """
    _check_labels(manifest, predictor.classes)
    asked = {str(manifest.path(image)): image for image in manifest.table["image"]}
    answers: dict[str, Finding | Failure] = {}
    for answer in predictor.predict_many([Path(path) for path in asked]):
        image = asked.get(answer.image)
        if image is None or image in answers:
            problem = "An answer for an image that was not asked for" if image is None else "Two answers for one image"
            raise CovidXrayError(f"{problem}: each image has exactly one.", code="lost-answer")
        answers[image] = answer
        if progress:
            progress(len(answers), len(asked))
    if len(answers) < len(manifest.table):
        raise CovidXrayError(
            f"Only {len(answers)} answers for {len(manifest.table)} images. The first image without one is "
            f"{next(image for image in asked.values() if image not in answers)}.",
            code="lost-answer",
        )
    return _joined(answers, manifest.table, predictor.classes)


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write one CSV row for each image, atomically: scored ones with `error` empty, failed ones with its code.

    Probabilities keep all digits, so that metrics computed from the file equal those of the run.
    """
    failed = predictions.failures.rename(columns={"code": ERROR, "message": MESSAGE})
    scored = predictions.table.assign(**{ERROR: "", MESSAGE: ""})
    head = [*SCORED, *probability_columns(predictions.classes), REASONS, ERROR, MESSAGE]
    rows = pd.concat([scored, failed], ignore_index=True) if len(failed) else scored
    rows = rows[[*head, *[name for name in scored.columns if name not in head]]]
    with replacing(path) as temporary:
        rows.to_csv(temporary, index=False, errors="backslashreplace")


def read_predictions(path: Path) -> Predictions:
    """Read what `write_predictions` wrote; raise `BadManifest` for a file of another kind."""
    try:
        rows = pd.read_csv(path, dtype=str, keep_default_na=False, encoding_errors="surrogateescape")
    except (OSError, ValueError):
        raise BadManifest(f"Cannot be read as CSV: {path}. Give a predictions.csv.") from None
    columns = list(rows.columns)
    if tuple(columns[:3]) != SCORED or not {REASONS, ERROR, MESSAGE} <= set(columns):
        raise BadManifest(
            f"Not a predictions.csv: {path} begins with {', '.join(columns[:3])}, not {', '.join(SCORED)}."
        )
    names = columns[3 : columns.index(REASONS)]
    failed = rows[rows[ERROR] != ""]
    table = rows[rows[ERROR] == ""].drop(columns=[ERROR, MESSAGE]).reset_index(drop=True)
    table = table.assign(**{name: table[name].map(float) for name in names})
    failures = failed.rename(columns={ERROR: "code", MESSAGE: "message"})[list(FAILED)].reset_index(drop=True)
    return Predictions(table, tuple(name.removeprefix("p_") for name in names), failures)


def _check_labels(manifest: Manifest, classes: Sequence[str]) -> None:
    if manifest.table.empty:
        raise BadManifest("No image to evaluate. Give a manifest with at least one.")
    unknown = manifest.table["label"][~manifest.table["label"].isin(list(classes))]
    if len(unknown):
        raise BadManifest(
            f"Unknown label: {unknown.iloc[0]!r}; {len(unknown)} images have such a label. "
            f"The network knows {', '.join(classes)}. {suggest_labels(set(unknown), classes)}"
        )


def suggest_labels(unknown: Iterable[str], classes: Sequence[str]) -> str:
    """Suggest an option: rename the labels where each is close to a class of the network, else keep its classes."""
    close = {label: closest(label, classes) for label in sorted(unknown)}
    pairs = [f"{label}={name}" for label, name in close.items() if name]
    if len(pairs) == len(close):
        return f'Did you mean --rename-labels "{",".join(pairs)}"?'
    known = "".join(f" --label {name}" for name in classes)
    return f'Name them as the network does by --rename-labels "{next(iter(close))}={classes[0]}", or keep{known}.'


def _joined(answers: Mapping[str, Finding | Failure], rows: pd.DataFrame, classes: tuple[str, ...]) -> Predictions:
    labels = dict(zip(rows["image"], rows["label"], strict=True))
    scored, failed = [], []
    for image, label in labels.items():
        answer = answers[image]
        if isinstance(answer, Finding) and np.isfinite(list(answer.probabilities.values())).all():
            scored.append([image, label, *_scores(answer, classes)])
        else:
            failed.append([image, label, *_reason(answer)])
    head = [*SCORED, *probability_columns(classes), REASONS]
    table = pd.DataFrame(scored, columns=head)
    kept = [name for name in rows.columns if name == "image" or name not in (*head, ERROR, MESSAGE)]
    return Predictions(
        table.merge(rows[kept], on="image", how="left", validate="one_to_one"),
        classes,
        pd.DataFrame(failed, columns=list(FAILED), dtype=str),
    )


def _scores(finding: Finding, classes: Sequence[str]) -> list[Any]:
    values = [finding.probabilities[name] for name in classes]
    return [classes[int(np.argmax(values))], *values, "; ".join(finding.reasons)]


def _reason(answer: Finding | Failure) -> tuple[str, str]:
    if isinstance(answer, Failure):
        return answer.code, answer.message
    return "not-finite", "The network returned NaN or infinity."
