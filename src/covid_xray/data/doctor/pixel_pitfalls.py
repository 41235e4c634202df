"""Pitfalls that only the pixels show: borders, burnt-in marks, pictures that are unlike a frontal chest or upside down.

These are plain measurements (see `pixel_facts`), so they find the gross cases and miss the fine ones; each says so.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd

from covid_xray.data.doctor.pitfall import Pitfall, Verdict, cramers_v, judged
from covid_xray.data.doctor.pitfalls import EXAMPLES, V_FAIL, V_WARN
from covid_xray.data.doctor.pixel_facts import PixelFacts
from covid_xray.data.manifest.manifest import Manifest

BORDER = 0.01  # share of the area; a bar of one in a hundred is seen, JPEG edges are not
UNLIKE = 0.2  # correlation of a 32 x 32 thumbnail with the mean of all; frontal chests are about 0.7
TURNED = 0.3  # how much nearer the mean a picture must be upside down
Vectors = npt.NDArray[np.float64]


def borders(manifest: Manifest, facts: PixelFacts) -> Pitfall:
    """Flat bars along the edges, and whether they tell the class."""
    has = facts.table["border"].to_numpy() > BORDER
    advice = "Crop flat bars before training, for every image in the same way; compare with the frame-only baseline."
    question = "Are there no flat bars along the edges?"
    return _told_by(manifest, has, "borders", question=question, what="flat bars", advice=advice)


def marks(manifest: Manifest, facts: PixelFacts) -> Pitfall:
    """Letters, arrows and lead markers in the outer fifth, and whether they tell the class."""
    has = facts.table["edge_marks"].to_numpy() >= 1
    advice = "Look at the heat maps of such images; compare with the frame-only baseline; do not trust corners."
    question = "Are there no burnt-in letters or markers near the border?"
    what = "bright letter-sized marks near the border"
    return _told_by(manifest, has, "marks", question=question, what=what, advice=advice)


def unlike(manifest: Manifest, facts: PixelFacts) -> Pitfall:
    """Pictures that do not look like the others even as a thumbnail: side views, parts, heavy frames."""
    near, _ = likeness(facts.thumbnails)
    order = np.argsort(near)
    bad = order[near[order] < UNLIKE]
    images = manifest.table["image"].to_numpy()
    says = f"Pictures that hardly resemble the mean: {len(bad):,} (correlation under {UNLIKE}). Fine ones are missed."
    advice = "Look at them: side views, CT, other parts of the body, or a chest lost in a frame."
    examples = tuple(f"{images[i]} ({near[i]:.2f})" for i in bad[:EXAMPLES])
    verdict = judged(len(bad) / max(1, len(near)), warn=0, fail=0.05)
    question = "Do all pictures look like a frontal chest?"
    return Pitfall("unlike-a-chest", question, verdict, float(len(bad)), "pictures", says, advice, examples)


def upside_down(manifest: Manifest, facts: PixelFacts) -> Pitfall:
    """Pictures that resemble the mean far better when turned upside down."""
    near, turned = likeness(facts.thumbnails)
    bad = np.flatnonzero((turned > near + TURNED) & (turned > 0.5))
    images = manifest.table["image"].to_numpy()[bad]
    says = f"Pictures that look more like the others when upside down: {len(bad):,}."
    verdict = Verdict.WARN if len(bad) else Verdict.PASS
    advice = "Turn them, or leave them out."
    question = "Are all pictures upright?"
    return Pitfall(
        "upside-down", question, verdict, float(len(bad)), "pictures", says, advice, tuple(images[:EXAMPLES])
    )


def likeness(thumbnails: npt.NDArray[np.uint8]) -> tuple[Vectors, Vectors]:
    """Correlation of each thumbnail with the mean of all: as it is, and upside down. N x 32 x 32 -> N, N; -1..1."""
    flat = thumbnails.reshape(len(thumbnails), -1).astype(np.float64)
    flat -= flat.mean(axis=1, keepdims=True)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True) + 1e-9
    mean = flat.mean(axis=0)
    mean /= np.linalg.norm(mean) + 1e-9
    turned = mean.reshape(thumbnails.shape[1:])[::-1].ravel()
    return flat @ mean, flat @ turned


def _told_by(
    manifest: Manifest, has: npt.NDArray[np.bool_], name: str, *, question: str, what: str, advice: str
) -> Pitfall:
    label = manifest.table["label"].reset_index(drop=True)
    share = pd.Series(has).groupby(label).mean()
    v = cramers_v(label, pd.Series(np.where(has, "yes", "no")))
    v = 0.0 if np.isnan(v) and label.nunique() > 1 else v  # all or none have it: it tells nothing
    says = f"{has.mean():.0%} of the images have {what}: " + ", ".join(f"{k} {s:.0%}" for k, s in share.items()) + "."
    verdict = judged(v, warn=V_WARN, fail=V_FAIL)
    if verdict is Verdict.PASS and has.mean() > 0.05:
        verdict = Verdict.WARN
    return Pitfall(name, question, verdict, v, "Cramer's V with the class", says, advice)


PIXEL_CHECKS: tuple[Callable[[Manifest, PixelFacts], Pitfall], ...] = (unlike, upside_down, marks, borders)
