"""Give a bundle a clinical input, trained on a table with clinical columns.

The image network is not touched: `model.onnx` keeps its bytes, and with them everything that was fitted on it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from covid_xray import clinical
from covid_xray.bundle.bundle import Bundle, load_bundle, networks, write_bundle
from covid_xray.bundle.contents import FusionFacts, read_as
from covid_xray.bundle.fusion_network import FUSION_VERSION, FusionNetwork
from covid_xray.data.manifest.manifest import Manifest, fingerprint
from covid_xray.data.split.split import make_folds
from covid_xray.errors import BadSplit
from covid_xray.evaluation.clinical.clinical_predictions import ClinicalPredictions, Rows
from covid_xray.evaluation.metrics.conformal import fit_conformal
from covid_xray.evaluation.predictions import Predictions, probability_columns
from covid_xray.inference.fusion import Fusion
from covid_xray.training.clinical.fusion_training import Recipe, count_patients, fit, to_fusion_onnx, usable
from covid_xray.training.onnx.storage import ExportFailed

PARTS = ("val", "calibration")  # images that the network never saw in training, and that are no test
FOLDS = 5
Facts = dict[str, Any]


def fuse(
    folder: Path,
    data: ClinicalPredictions,
    *,
    out: Path | None = None,
    parts: Sequence[str] = PARTS,
    recipe: Recipe | None = None,
) -> Facts:
    """Write the bundle in `folder` with a clinical input to `out` (default: in its place); return its `fusion` facts.

    Args:
        folder: of the bundle.
        data: predictions of the bundle for a table with the column `split`.
        out: another folder for the new bundle.
        parts: parts whose images train the fusion network.
        recipe: of the training.

    Raises:
        BadSplit: the table has no images of these parts.
        InputRefused: no field is stated for 20 patients of two classes (code `too-few`).
        ExportFailed: ONNX Runtime and Keras differ, or a record without any value would change a prediction.
    """
    recipe, bundle = recipe or Recipe(), load_bundle(folder)
    trained = data.take(in_parts(data.manifest, parts))
    model = fit(trained.rows, recipe)
    onnx, parity = to_fusion_onnx(model, data.rows)
    facts: Facts = {
        "version": FUSION_VERSION, "model_sha256": bundle.contents.model.sha256, "temperature": bundle.temperature,
        "fields": field_facts(trained.rows, bundle.classes), "parity": parity, "recipe": asdict(recipe),
        "trained_on": _trained_on(trained, parts), "conformal": _conformal(trained, bundle, recipe),
    }  # fmt: skip
    _check_silent(Fusion(FusionNetwork(onnx, read_as(FusionFacts, facts, "fusion")), classes=bundle.classes), data.rows)
    target = out or folder
    write_bundle(target, **{**networks(folder), "fusion": onnx}, facts={**bundle.facts, "fusion": facts})
    load_bundle(target)
    return facts


def in_parts(manifest: Manifest, parts: Sequence[str]) -> NDArray[np.bool_]:
    """Select the images of these parts of the column `split`: N booleans. Raises `BadSplit` where there are none."""
    table = manifest.table
    found = table["split"].isin(parts).to_numpy() if "split" in table else np.zeros(len(table), dtype=bool)
    if not found.any():
        raise BadSplit(
            f"The table has no images of {', '.join(parts)}. Clinical values must be learned on images that the image "
            "network was not trained on; give them one of these parts in the column split."
        )
    return found


def field_facts(rows: Rows, classes: Sequence[str]) -> list[Facts]:
    """Describe each field for `bundle.json`: unit, range, patients of each class, and whether it is used."""
    used, people = usable(rows), count_patients(rows)
    return [
        {
            "name": field.name, "title": field.title, "unit": field.unit, "low": field.low, "high": field.high,
            "patients": dict(zip(classes, people[number].tolist(), strict=True)),
            "used": bool(used[number].any()),
            "classes": [name for name, yes in zip(classes, used[number], strict=True) if yes],
            "reason": "" if used[number].any() else _why_not(dict(zip(classes, people[number].tolist(), strict=True))),
        }
        for number, field in enumerate(clinical.FIELDS)
    ]  # fmt: skip


@dataclass(frozen=True, eq=False)
class CrossFitted:
    """Fusion networks, each for images of patients that it never saw.

    Args:
        models: one for each fold.
        fold: N, the fold of each image.
    """

    models: tuple[keras.Model, ...]
    fold: NDArray[np.int64]

    def joint(self, rows: Rows) -> NDArray[np.float32]:
        """Predict N x C joint probabilities for the same images, with these or other clinical values."""
        found = np.empty_like(rows.probabilities)
        for number, model in enumerate(self.models):
            held = self.fold == number
            found[held] = keras.ops.convert_to_numpy(model(rows.take(held).inputs)["joint_probabilities"])
        return found


def cross_fit(data: ClinicalPredictions, rows: Rows, recipe: Recipe, *, seed: int = 0) -> CrossFitted:
    """Fit five networks, each on four fifths of the patients.

    Args:
        data: its labels, patients and copies make the folds.
        rows: the same images, perhaps with other clinical values.
        recipe: of the training.
        seed: of the folds.
    """
    fold = make_folds(data.manifest, folds=FOLDS, seed=seed).to_numpy()
    return CrossFitted(tuple(fit(rows.take(fold != number), recipe) for number in range(FOLDS)), fold)


def _why_not(people: dict[str, int]) -> str:
    counts = ", ".join(f"{name} {count}" for name, count in people.items())
    return f"too few training patients state it to compare classes ({counts})"


def _trained_on(data: ClinicalPredictions, parts: Sequence[str]) -> Facts:
    known = ~np.isnan(data.rows.clinical)
    used = usable(data.rows).any(axis=1)
    stated = known[:, used].any(axis=1)
    return {
        "parts": list(parts), "images": len(data.rows.labels), "patients": len(set(data.rows.people)),
        "stating_a_used_field": {"images": int(stated.sum()), "patients": len(set(data.rows.people[stated]))},
        "fingerprint": fingerprint(data.manifest),
    }  # fmt: skip


def _conformal(data: ClinicalPredictions, bundle: Bundle, recipe: Recipe) -> Facts | None:
    """Fit prediction sets of joint probabilities at the bundle's coverage; `None` where the bundle has no sets."""
    wish = bundle.contents.conformal
    if not wish:
        return None
    table = data.manifest.table[["image", "label"]].assign(predicted="", reasons="")
    joint = cross_fit(data, data.rows, recipe).joint(data.rows)
    columns = dict(zip(probability_columns(bundle.classes), joint.astype(np.float64).T, strict=True))
    predictions = Predictions(table.assign(**columns), bundle.classes, table.iloc[:0])
    return asdict(fit_conformal(predictions, coverage=wish.coverage, method=wish.method))


def _check_silent(fusion: Fusion, rows: Rows) -> None:
    """Check that a record without any value leaves the probabilities of the image as they are, to the last bit."""
    joint, terms = fusion.run(rows.probabilities, rows.embedding, np.full_like(rows.clinical, np.nan))
    if terms.any() or not np.array_equal(joint, rows.probabilities):
        raise ExportFailed(
            "A record without any clinical value changes the prediction. This is a bug; please report it."
        )
