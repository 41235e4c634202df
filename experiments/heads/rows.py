"""List the rows of linear_heads.py: what a head is trained on, what it predicts from, how it is fitted."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from math import inf
from types import MappingProxyType
from typing import Any

from experiments.heads.methods import Fit, blinded, discriminant, erased, logistic, projected, ridge, whitened
from experiments.heads.robust import bagged, mixed, staged, within, worst_group


@dataclass(frozen=True)
class Row:
    """A head to try: features to train on, views averaged for a prediction, and these with hidden lungs."""

    family: str
    name: str
    fit: Fit
    learns: tuple[str, ...] = ("whole",)
    asks: tuple[str, ...] = ("whole",)
    hidden: tuple[str, ...] = ("whole_hidden",)
    auxiliary: bool = False
    blind: bool = False  # whether the fit uses pictures with hidden lungs
    corners: bool = False  # and with black corners


STRENGTHS = (1e-2, 3e-3, 1e-3, 3e-4, 1e-4)
PRIORS = ("natural", "root", "even", "plain")
HIDDEN_OF = {"whole": "whole_hidden", "crop": "crop_hidden", "only": "crop_hidden"}
COPIES = ("altered_0", "altered_1", "altered_2", "altered_3")
STRONG = ("strong_0", "strong_1")
# Columns of the feature `stages`: 2,024 means (40, 80, 112, 192, 320, 1280), then as many generalised means.
LAYERS = {"six stages side by side": "0-2024", "generalised mean of the last": "2768-4048",
          "stages 5 to 14 alone": "0-424"}  # fmt: skip
BLIND_VIEWS: dict[str, dict[str, Any]] = {
    "all labels": {"auxiliary": True},
    "answer: mean with the mirrored picture": {"asks": ("whole", "mirror"),
                                               "hidden": ("whole_hidden", "mirror_hidden")},
    "and 1 altered copy": {"learns": ("whole", "altered_0")},
    "and 2 strongly altered copies": {"learns": ("whole", *STRONG)},
} | {
    f"{name} picture": {"learns": (name,), "asks": (name,), "hidden": (f"{name}_hidden",)}
    for name in ("crop", "clahe", "standard", "equalised")
}  # fmt: skip


def rows() -> Iterator[Row]:
    """Yield all rows, family by family."""
    for view, hidden in HIDDEN_OF.items():
        for c in STRENGTHS:
            yield Row("view", f"{view}, C={c:g}", partial(logistic, C=c), (view,), (view,), (hidden,))
    for prior in PRIORS:
        for c in STRENGTHS[1:]:
            yield Row("prior", f"{prior} weights, C={c:g}", partial(logistic, C=c, prior=prior))
    for family in (scales, regressions, nuisances, robusts, labels, blinds, copies, inputs):
        yield from family()


def scales() -> Iterator[Row]:
    """Yield rows with a floor on feature scales."""
    for floor in (0.1, 0.25, 0.5, 1.0):
        for c in (1e-3, 3e-4):
            scale = f"scales floored at their {floor:.0%} quantile" if floor < 1 else "one scale for all features"
            yield Row("scale", f"{scale}, natural, C={c:g}", partial(logistic, C=c, floor=floor, prior="natural"))


def regressions() -> Iterator[Row]:
    """Yield ridge on one-hot labels and linear discriminants."""
    for strength in (0.01, 0.1, 1.0, 10.0):
        yield Row("ridge", f"ridge, one scale, strength {strength:g}", partial(ridge, strength=strength))
    for strength in (3.0, 30.0, 300.0):
        yield Row("ridge", f"ridge, strength {strength:g}", partial(ridge, strength=strength, floor=0.0))
    for shrink in (None, 0.1, 0.5, 0.9):
        name = "Ledoit-Wolf" if shrink is None else f"{shrink:g}"
        yield Row("discriminant", f"linear discriminant, shrunk {name}", partial(discriminant, shrink=shrink))


def nuisances() -> Iterator[Row]:
    """Yield rows that penalise, remove, whiten or erase the scatter between the sources of a class."""
    for strength, nuisance in ((3.0, 5.0), (30.0, 30.0)):
        fit = partial(ridge, strength=strength, floor=0.0, nuisance=nuisance)
        yield Row("nuisance", f"ridge, strength {strength:g}, scatter between sources x {nuisance:g}", fit)
    for alpha, coarse, prior in product((0.1, 1.0, inf), (False, True), ("balanced", "natural")):
        what = "sources of ill and well" if coarse else "sources of a class"
        fit = partial(projected, C=3e-4, alpha=alpha, coarse=coarse, prior=prior)
        yield Row("nuisance", f"NAP, {what}, alpha {alpha:g}, {prior}, C=0.0003", fit)
    for alpha in (0.1, 1.0, 10.0):
        yield Row("nuisance", f"WCCN, alpha {alpha:g}, C=0.001", partial(whitened, C=1e-3, alpha=alpha))
    for rounds in (1, 5):
        fit = partial(erased, C=3e-4, rounds=rounds)
        yield Row("nuisance", f"source within a class erased (LEACE), {rounds} rounds, C=0.0003", fit)


def robusts() -> Iterator[Row]:
    """Yield worst group, mix-up and ensembles."""
    for step, prior in product((0.3, 1.0), ("balanced", "natural")):
        fit = partial(worst_group, C=3e-4, step=step, prior=prior)
        yield Row("robust", f"group DRO, step {step:g}, {prior}, C=0.0003", fit)
    for share in (1.0, 3.0):
        fit = partial(mixed, C=3e-4, share=share, prior="natural")
        yield Row("robust", f"mix-up within a class across sources, {share:g} for each, natural, C=0.0003", fit)
    for prior in ("balanced", "natural"):
        fit = partial(bagged, C=3e-4, prior=prior)
        yield Row("robust", f"heads without one source each, averaged, {prior}, C=0.0003", fit)


def labels() -> Iterator[Row]:
    """Yield rows that also train on bacterial and any pneumonia."""
    for prior, c in product(("balanced", "natural"), (1e-3, 3e-4, 1e-4)):
        fit = partial(logistic, C=c, prior=prior)
        yield Row("labels", f"bacterial and pneumonia as two more classes, {prior}, C={c:g}", fit, auxiliary=True)
        fit = partial(staged, C=c, prior=prior)
        yield Row("labels", f"two stages, all labels in the first, {prior}, C={c:g}", fit, auxiliary=True)
    for share in (0.25, 0.5, 1.0):
        fit = partial(within, C=3e-4, share=share, prior="natural")
        yield Row("labels", f"and ill against well inside sources x {share:g}, natural, C=0.0003", fit, auxiliary=True)


def blind(name: str, *, c: float, views: Mapping[str, Any] = MappingProxyType({}), **more: Any) -> Row:
    """Build a row of `blinded`."""
    return Row("blind", f"{name}, C={c:g}", partial(blinded, C=c, **more), blind=True, **views)


def blinds() -> Iterator[Row]:
    """Yield heads without the directions of the source within a class, of what lies outside the lungs, or both."""
    for c, prior in product((3e-3, 1e-3, 3e-4, 1e-4), ("natural", "balanced")):
        yield blind(f"blind to source and outside, {prior}, one scale", c=c, prior=prior)
    for c, prior in product((1e-3, 3e-4, 1e-4), ("natural", "balanced")):
        name = f"blind to source, outside and corners, {prior}, one scale"
        yield blind(name, c=c, views={"corners": True}, prior=prior)
    for c in (1e-3, 3e-4):
        yield blind("blind to source, natural, one scale", c=c, outside=0)
        yield blind("blind to outside, natural, one scale", c=c, sources=0)
        yield blind("blind to source and outside, natural, each its scale", c=c, floor=0.0)
        yield blind("half blind to source and outside (1, 1), natural, one scale", c=c, sources=1.0, outside=1.0)
        for name, views in BLIND_VIEWS.items():
            yield blind(f"blind to both, {name}, natural, one scale", c=c, views=views)


def copies() -> Iterator[Row]:
    """Yield rows with altered copies, or with several views per prediction."""
    for c, prior in product((1e-3, 3e-4), ("balanced", "natural")):
        fit = partial(logistic, C=c, prior=prior)
        for count in (1, 4):
            yield Row("copies", f"and {count} altered copies, {prior}, C={c:g}", fit, ("whole", *COPIES[:count]))
        yield Row("copies", f"and 2 strongly altered copies, {prior}, C={c:g}", fit, ("whole", *STRONG))
    for c in (1e-3, 3e-4):
        fit, both = partial(logistic, C=c, prior="natural"), ("whole", "mirror")
        blind = ("whole_hidden", "mirror_hidden")
        yield Row("views", f"answer: mean with the mirrored picture, natural, C={c:g}", fit, both, both, blind)
        both = ("whole", "crop")
        yield Row("views", f"answer: mean of whole and crop, natural, C={c:g}", fit, both, both,
                  ("whole_hidden", "crop_hidden"))  # fmt: skip


def inputs() -> Iterator[Row]:
    """Yield rows with other inputs or layers of the network."""
    for name, title in {"clahe": "CLAHE", "equalised": "equalised", "standard": "standardised grey"}.items():
        for c in (1e-3, 3e-4):
            yield Row("input", f"{title}, natural, C={c:g}", partial(logistic, C=c, prior="natural"), (name,), (name,),
                      (f"{name}_hidden",))  # fmt: skip
    for c in (1e-3, 3e-4):
        fit = partial(logistic, C=c, prior="natural", floor=1.0)
        yield Row("input", f"256 pixels, natural, one scale, C={c:g}", fit, ("size_256",), ("size_256",), ())
        for title, columns in LAYERS.items():
            name, hidden = f"stages:{columns}", f"stages_hidden:{columns}"
            yield Row("layers", f"{title}, natural, C={c:g}", partial(logistic, C=c, prior="natural"), (name,), (name,),
                      (hidden,))  # fmt: skip
            yield blind(f"blind to both, {title}, natural, each its scale", c=c, floor=0.0,
                        views={"learns": (name,), "asks": (name,), "hidden": (hidden,)})  # fmt: skip


ROWS = tuple(rows())
