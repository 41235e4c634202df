"""Cut training images at random and fit a classifier that tells crops from whole chest X-rays.

A crop keeps part of the height, the width or both, at most 0.65 of the area. The halves, quarters and centres of
experiments/gate.py are avoided on purpose.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from covid_xray.data.manifest.manifest import Manifest
from covid_xray.data.split.groups import groups
from covid_xray.errors import BadImage
from covid_xray.evaluation.gate.sample import Progress, Sample, extent_of
from covid_xray.images.radiograph import Radiograph
from covid_xray.inference.crop_detector import features
from covid_xray.inference.gate import packed
from covid_xray.inference.gate_features import look
from covid_xray.inference.io.inputs import open_source
from covid_xray.inference.lungs import cropped
from covid_xray.inference.predictor import Predictor

MOST = 1000  # images that are cut
WHOLE_SIDE = 0.35  # how often a side stays as it is
SIDE = (0.35, 0.8)  # share of a side that is kept otherwise
AREA = 0.65
_C = 0.03  # of the logistic regression: 149 values, a few thousand images


def crop_images(
    predictor: Predictor, manifest: Manifest, *, seed: int = 0, done: int = 0, total: int = 0,
    progress: Progress | None = None,
) -> Sample:  # fmt: skip
    """Cut one crop of each image (at most 1,000 images are useful); embeddings are left empty."""
    looks, extents, rows = [], [], []
    random = np.random.default_rng(seed)
    for row, image in enumerate(manifest.table["image"]):
        try:
            radiograph = open_source(manifest.path(image), limits=predictor.limits)
        except BadImage:
            continue
        cut = random_crop(radiograph, random)
        looks.append(look(cut))
        extents.append(extent_of(predictor.viewer.view(cut).lungs))
        rows.append(row)
        if progress:
            progress(done + row + 1, max(total, done + row + 1))
    return Sample(
        looks,
        np.empty((len(rows), 0)),
        manifest.table["label"].to_numpy(dtype=str)[rows],
        groups(manifest).to_numpy(dtype=str)[rows],
        lungs=None if predictor.bundle.lungs is None else np.array(extents),
    )


def random_crop(radiograph: Radiograph, random: np.random.Generator) -> Radiograph:
    """Cut a random crop of the size that the constants allow."""
    height, width = radiograph.pixels.shape
    while True:
        kept = np.where(random.random(2) < WHOLE_SIDE, 1.0, random.uniform(*SIDE, 2))
        if kept.prod() <= AREA:
            break
    rows, columns = max(1, int(kept[0] * height)), max(1, int(kept[1] * width))
    top, left = random.integers(0, height - rows + 1), random.integers(0, width - columns + 1)
    box = (top / height, left / width, (top + rows) / height, (left + columns) / width)
    return Radiograph(cropped(radiograph, box).pixels, bits=radiograph.bits)  # nothing is said of its file


def fit_crop_classifier(known: Sample, pieces: Sample) -> dict[str, Any]:
    """Return weights and bias (packed, 1 x F + 1) of a classifier of whole pictures against crops."""
    from sklearn.linear_model import LogisticRegression

    x = np.concatenate([crop_features(known), crop_features(pieces)])
    y = np.repeat([0, 1], [len(known), len(pieces)])
    fitted = LogisticRegression(C=_C, max_iter=2000).fit(x, y)
    return packed(np.hstack([fitted.coef_, fitted.intercept_[:, None]]))


def crop_features(sample: Sample) -> NDArray[np.float64]:
    """Return the crop features, N x F."""
    return features(sample.thumbnails, sample.lungs)
