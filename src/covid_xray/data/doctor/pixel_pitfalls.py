"""Check pixels for borders, burnt-in marks, and images that are upside down or no frontal chest.

These are simple measurements (see `pixel_facts`), which find only the gross cases.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd

from covid_xray.data.doctor.pitfall import Pitfall, Verdict, cramers_v, judge
from covid_xray.data.doctor.pitfalls import EXAMPLES, V_FAIL, V_WARN
from covid_xray.data.doctor.pixel_facts import PixelFacts
from covid_xray.data.manifest.manifest import Manifest

BORDER = 0.01  # share of the area that finds bars but not JPEG edges
UNLIKE = 0.2  # correlation of a 32 x 32 thumbnail with the mean of all; frontal chests have about 0.7
TURNED = 0.3  # least gain in correlation with the mean when upside down
Vectors = npt.NDArray[np.float64]


def borders(manifest: Manifest, facts: PixelFacts) -> Pitfall:
    """Check for flat bars along the edges, and whether they predict the class."""
    has = facts.table["border"].to_numpy() > BORDER
    advice = "Crop flat bars before training, in the same way for all images; compare with the frame-only baseline."
    question = "Are there no flat bars along the edges?"
    return _association(manifest, has, "borders", question=question, what="flat bars", advice=advice)


def marks(manifest: Manifest, facts: PixelFacts) -> Pitfall:
    """Check for letters, arrows and lead markers in the outer fifth, and whether they predict the class."""
    has = facts.table["edge_marks"].to_numpy() >= 1
    advice = "Inspect the heat maps of such images, above all in the corners; compare with the frame-only baseline."
    question = "Are there no burnt-in letters or markers near the border?"
    what = "bright letter-sized marks near the border"
    return _association(manifest, has, "marks", question=question, what=what, advice=advice)


def unlike(manifest: Manifest, facts: PixelFacts) -> Pitfall:
    """Find images whose thumbnails differ from the others: side views, other body parts, heavy frames."""
    near, _ = likeness(facts.thumbnails)
    order = np.argsort(near)
    bad = order[near[order] < UNLIKE]
    images = manifest.table["image"].to_numpy()
    says = f"{len(bad):,} images correlate with the mean image by less than {UNLIKE}. Subtle cases are missed."
    advice = "Inspect them: side views, CT, other parts of the body, or a small chest in a large frame."
    examples = tuple(f"{images[i]} ({near[i]:.2f})" for i in bad[:EXAMPLES])
    verdict = judge(len(bad) / max(1, len(near)), warn=0, fail=0.05)
    question = "Do all images look like a frontal chest?"
    return Pitfall("unlike-a-chest", question, verdict, float(len(bad)), "images", says, advice, examples)


def upside_down(manifest: Manifest, facts: PixelFacts) -> Pitfall:
    """Find images that resemble the mean far better upside down."""
    near, turned = likeness(facts.thumbnails)
    bad = np.flatnonzero((turned > near + TURNED) & (turned > 0.5))
    examples = tuple(manifest.table["image"].to_numpy()[bad][:EXAMPLES])
    says = f"{len(bad):,} images resemble the others more when turned upside down."
    verdict = Verdict.WARN if len(bad) else Verdict.PASS
    question, advice = "Are all images upright?", "Turn them, or leave them out."
    return Pitfall("upside-down", question, verdict, float(len(bad)), "images", says, advice, examples)


def likeness(thumbnails: npt.NDArray[np.uint8]) -> tuple[Vectors, Vectors]:
    """Correlate each of N thumbnails with their mean, upright and upside down: N values each, -1..1."""
    flat = thumbnails.reshape(len(thumbnails), -1).astype(np.float64)
    flat -= flat.mean(axis=1, keepdims=True)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True) + 1e-9
    mean = flat.mean(axis=0)
    mean /= np.linalg.norm(mean) + 1e-9
    turned = mean.reshape(thumbnails.shape[1:])[::-1].ravel()
    return flat @ mean, flat @ turned


def _association(
    manifest: Manifest, has: npt.NDArray[np.bool_], name: str, *, question: str, what: str, advice: str
) -> Pitfall:
    label = manifest.table["label"].reset_index(drop=True)
    share = pd.Series(has).groupby(label).mean()
    v = cramers_v(label, pd.Series(np.where(has, "yes", "no")))
    v = 0.0 if np.isnan(v) and label.nunique() > 1 else v  # all or none have it
    says = f"{has.mean():.0%} of the images have {what}: " + ", ".join(f"{k} {s:.0%}" for k, s in share.items()) + "."
    verdict = judge(v, warn=V_WARN, fail=V_FAIL)
    if verdict is Verdict.PASS and has.mean() > 0.05:
        verdict = Verdict.WARN
    return Pitfall(name, question, verdict, v, "Cramer's V with the class", says, advice)


PIXEL_CHECKS: tuple[Callable[[Manifest, PixelFacts], Pitfall], ...] = (unlike, upside_down, marks, borders)
