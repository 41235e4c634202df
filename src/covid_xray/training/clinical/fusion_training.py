"""Train a fusion network on predictions of an image network and clinical values, and export it to ONNX.

It is trained on images that the image network never saw: on its own training images that one is too sure, and nothing
would be left for clinical values to add. Only the values of a field teach, not that it is stated: within each pattern
of stated fields the classes weigh the same, and ramps are centred (see `models.fusion`).
"""

from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from covid_xray.data.manifest.clinical_table import NAMES
from covid_xray.errors import InputRefused
from covid_xray.evaluation.clinical.clinical_predictions import Floats, Rows
from covid_xray.models.fusion import INPUTS, OUTPUTS, SMALLEST, Basis, build
from covid_xray.training.onnx.export import check_parity, to_onnx

ENOUGH = 20  # patients of a class with a value, or the field has no influence on that class
KNOTS = (0.05, 0.275, 0.5, 0.725, 0.95)  # quantiles between which a field is linear
COMPONENTS = 4  # of the embedding


@dataclass(frozen=True)
class Recipe:
    """Settings of the training of a fusion network.

    Args:
        penalty: L2 of the weights.
        dropout: share of the stated fields that is hidden, drawn anew for each row and draw.
        draws: number of passes over the rows, each with other fields hidden.
        naive: missing-indicators as features, every field for every class: the usual design, for comparison.
        seed: of the drop-out.
    """

    penalty: float = 0.01
    dropout: float = 0.3
    draws: int = 8
    naive: bool = False
    seed: int = 0


def fit(rows: Rows, recipe: Recipe | None = None) -> keras.Model:
    """Train a fusion network.

    The loss is convex in the weights, so they are found by L-BFGS at its minimum: no learning rate, no epochs, and the
    same weights from the same rows.

    Raises:
        InputRefused: no field is stated for 20 patients of two classes (code `too-few`).
    """
    with threadpool_limits(1):  # products this small make threads wait for each other
        return _fit(rows, recipe or Recipe())


def _fit(rows: Rows, recipe: Recipe) -> keras.Model:
    basis = basis_of(rows, naive=recipe.naive)
    known = ~np.isnan(rows.clinical) & basis.used.any(axis=1)
    if not recipe.naive:  # rows without a usable value teach nothing
        rows, known = rows.take(known.any(axis=1)), known[known.any(axis=1)]
    rows = replace(rows, people=np.unique(rows.people, return_inverse=True)[1])
    model = build(basis)
    features, labels, offsets, weights = _training_data(model, rows, known, basis, recipe)
    kernel = model.get_layer("terms").kernel
    kernel.assign(_minimise(features, labels, offsets, weights, basis, penalty=recipe.penalty).reshape(kernel.shape))
    return model


def _training_data(
    model: keras.Model, rows: Rows, known: NDArray[np.bool_], basis: Basis, recipe: Recipe
) -> tuple[Floats, NDArray[np.int64], Floats, NDArray[np.float64]]:
    """Make features N x R x (1 + S), labels, log-probabilities of the image and weights of the rows, over all draws."""
    random = np.random.default_rng(recipe.seed)
    side = keras.ops.convert_to_numpy(model.get_layer("side")(rows.embedding))
    with_one = np.concatenate([np.ones_like(side[:, :1]), side], axis=1)
    features, weights = [], []
    draws = 1 if recipe.naive else recipe.draws
    for _ in range(draws):
        shown = known if recipe.naive else known & (random.random(known.shape) >= recipe.dropout)
        hidden = np.where(shown, rows.clinical, np.nan).astype(np.float32)
        ramps = keras.ops.convert_to_numpy(model.get_layer("ramps")(hidden))
        features.append(ramps[:, :, None] * with_one[:, None, :])
        even = _balanced(rows.labels, rows.people) if recipe.naive else _even_within_patterns(rows, shown, basis.used)
        weights.append(even)
    offsets = np.log(np.maximum(rows.probabilities, SMALLEST))
    together = np.concatenate(weights)
    return (np.concatenate(features), np.tile(rows.labels, draws), np.tile(offsets, (draws, 1)),
            together / max(float(together.sum()), 1e-12))  # fmt: skip


def _minimise(
    features: Floats, labels: NDArray[np.int64], offsets: Floats, weights: NDArray[np.float64], basis: Basis, *,
    penalty: float,
) -> NDArray[np.float64]:  # fmt: skip
    """Find the kernel R x (1 + S) x C with the least weighted cross-entropy plus penalty."""
    from scipy.optimize import minimize

    count, ramps, inner = features.shape
    classes = offsets.shape[1]
    x = features.reshape(count, ramps * inner).astype(np.float64)
    mask = np.repeat(basis.used[basis.field].astype(np.float64), inner, axis=0)  # (R (1 + S)) x C
    share = mask / np.maximum(mask.sum(axis=1, keepdims=True), 1)
    true = np.eye(classes)[labels]

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        kernel = flat.reshape(-1, classes)
        kept = kernel * mask
        moved = offsets + x @ ((kept - (kept * share).sum(axis=1, keepdims=True)) * mask)
        moved = moved - moved.max(axis=1, keepdims=True)
        p = np.exp(moved) / np.exp(moved).sum(axis=1, keepdims=True)
        value = -float((weights * np.log(np.maximum((p * true).sum(axis=1), 1e-300))).sum())
        gradient = (x.T @ (weights[:, None] * (p - true))) * mask
        gradient = (gradient - (gradient.sum(axis=1, keepdims=True)) * share) * mask
        return value + penalty * float((kernel**2).sum()), (gradient + 2 * penalty * kernel).ravel()

    start = np.zeros(x.shape[1] * classes)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 500})
    return np.asarray(found.x)


def basis_of(rows: Rows, *, naive: bool = False) -> Basis:
    """Choose ramps, usable classes and components for these rows; arguments and errors as for `fit`."""
    count = rows.probabilities.shape[1]
    used = np.ones((len(NAMES), count), bool) if naive else usable(rows)
    known = ~np.isnan(rows.clinical)
    if not used.any():
        raise InputRefused(
            f"Too few clinical values to learn from: no field is stated for {ENOUGH} patients of two classes. Give a "
            "table with more values.",
            code="too-few",
        )
    ramps: list[tuple[int, float, float, float, bool]] = []
    for number in np.flatnonzero(used.any(axis=1) & known.any(axis=0)).tolist():
        values, mask = rows.clinical[:, number], known[:, number] & used[number][rows.labels]
        weights = _balanced(rows.labels[mask], rows.people[mask])
        for low, high in _edges(values[mask]):
            centre = float(np.average(np.clip((values[mask] - low) / (high - low), 0, 1), weights=weights))
            ramps.append((number, low, high, centre, False))
        if naive:
            ramps.append((number, 0.0, 1.0, 0.0, True))
    column = np.array(ramps, dtype=np.float64).T
    components, offset = _components(rows.embedding)
    return Basis(
        field=column[0].astype(np.int64), low=column[1].astype(np.float32), high=column[2].astype(np.float32),
        centre=column[3].astype(np.float32), indicator=column[4].astype(bool), used=used,
        components=components, offset=offset,
    )  # fmt: skip


def usable(rows: Rows) -> NDArray[np.bool_]:
    """Decide for each field and class, F x C, whether enough patients state it, of this class and of another."""
    enough = count_patients(rows) >= ENOUGH
    return enough & (enough.sum(axis=1, keepdims=True) >= 2)


def count_patients(rows: Rows) -> NDArray[np.int64]:
    """Count the patients of each class with a value of each field, F x C."""
    known, classes = ~np.isnan(rows.clinical), rows.probabilities.shape[1]
    return np.array(
        [[len(set(rows.people[known[:, f] & (rows.labels == c)])) for c in range(classes)] for f in range(len(NAMES))]
    )


def to_fusion_onnx(model: keras.Model, rows: Rows) -> tuple[bytes, dict[str, float]]:
    """Export to ONNX; return the file and the largest difference of each output from Keras on `rows`.

    Half of the rows have fields hidden, some all of them. Raises `ExportFailed` for a difference above 1e-4.
    """
    import onnxruntime

    data = to_onnx(model, inputs=INPUTS, outputs=OUTPUTS)
    random = np.random.default_rng(0)
    hidden = random.random(rows.clinical.shape) < random.random((len(rows.clinical), 1)) * 2 - 0.5
    inputs = {**rows.inputs, "clinical": np.where(hidden, np.nan, rows.clinical).astype(np.float32)}
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    exported = dict(zip(OUTPUTS, session.run(list(OUTPUTS), inputs), strict=True))
    trained = {name: keras.ops.convert_to_numpy(value) for name, value in model(inputs).items()}
    return data, check_parity(exported, trained)


def _edges(values: Floats) -> list[tuple[float, float]]:
    """Choose where the ramps of a field begin and end: neighbouring quantiles, or 0 and 1 for a yes or no."""
    if set(np.unique(values)) <= {0.0, 1.0}:
        return [(0.0, 1.0)]
    knots = np.unique(np.quantile(values, KNOTS))
    knots = knots if len(knots) > 1 else np.array([knots[0] - 0.5, knots[0] + 0.5])
    return list(zip(knots[:-1].tolist(), knots[1:].tolist(), strict=True))


def _components(embedding: Floats) -> tuple[Floats, Floats]:
    """Fit D x S and S that map an embedding to its first principal components of unit variance (0 where constant)."""
    mean = embedding.mean(axis=0)
    _, spread, directions = np.linalg.svd(embedding - mean, full_matrices=False)
    kept = directions[:COMPONENTS].T
    scale = np.maximum(spread[:COMPONENTS] / np.sqrt(len(embedding)), 1e-6)
    components = np.where(spread[:COMPONENTS] > 1e-4, kept / scale, 0.0)
    return components.astype(np.float32), (-mean @ components).astype(np.float32)


def _balanced(labels: NDArray[np.int64], people: NDArray[Any]) -> NDArray[np.float64]:
    """Weigh every class alike, and inside it every patient alike; the weights sum to 1."""
    _, person, images = np.unique(people, return_inverse=True, return_counts=True)
    weights = 1.0 / images[person]
    of_class = np.bincount(labels, weights=weights)
    weights = weights / of_class[labels]
    return weights / weights.sum()


def _even_within_patterns(rows: Rows, shown: NDArray[np.bool_], used: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weigh the classes alike among the rows that state the same fields.

    A pattern with one class only has weight 0: it would teach that stating these fields means that class.
    """
    weights = np.zeros(len(rows.labels))
    for pattern in np.unique(shown, axis=0):
        speaks = used[pattern].any(axis=0)
        here = np.flatnonzero((shown == pattern).all(axis=1) & speaks[rows.labels])
        if pattern.any() and len(set(rows.labels[here])) > 1:
            weights[here] = _balanced(rows.labels[here], rows.people[here]) * len(set(rows.people[here]))
    return weights
