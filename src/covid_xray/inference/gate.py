"""Check whether an image is a frontal chest X-ray like the training images.

The statistics are stored in `bundle.json` under `gate`, fitted by `evaluation.gate.fit`; numpy only. A check is a
function in `CHECKS`; where it does not apply (no tag, no statistics) it returns `None`. How it works and its limits:
docs/explanation/gate.md.
"""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from covid_xray.errors import BadBundle
from covid_xray.inference.crop_detector import extent, with_extent
from covid_xray.inference.gate_features import CELLS, LAYOUT, UNDONE_BY, WAYS, Look, layout
from covid_xray.inference.lungs import Lungs

VERSION = 1
RADIOGRAPHY = frozenset({"CR", "DX", "RG", "OT", "SC"})  # OT, other, and SC, secondary capture, may be anything
FRONTAL = frozenset({"PA", "AP"})
BLANK = 0.02  # share of white; printed film against a white page has more
MEASURED = ("contrast", "extremes", "aspect", "polarity", "orientation", "layout", "likeness")
PART = "part"  # a check that older bundles have no statistics for
GENERAL = ("layout", "likeness")  # their words are left out where another check names the problem

Array = NDArray[np.float64]
Verdict = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Evidence:
    """Inputs of the checks.

    Args:
        look: features of the picture and its file.
        embedding: D values, the network's last hidden features.
        values, thresholds: the measured and the stored ones, by check.
        best: the most probable change of the picture: a key of `WAYS`.
        usual: distribution of the layout of training images.
    """

    look: Look
    embedding: Array
    values: Mapping[str, float]
    thresholds: Mapping[str, Any]
    best: str
    usual: "Gaussian"

    @property
    def restored(self) -> float:
        """Compute the `layout` value of the picture with `best` undone, or of its mirror image if that is less."""
        thumbnail = self.look.thumbnail[None]
        undone = thumbnail if self.best == "as it is" else WAYS[UNDONE_BY.get(self.best, self.best)](thumbnail)
        # A picture that was flipped top to bottom is a mirrored chest once it is turned.
        return float(self.usual.distances(layout(np.concatenate([undone, undone[:, :, ::-1]]))).min())


Check = Callable[[Evidence], Verdict | None]


@dataclass(frozen=True, eq=False)
class Gaussian:
    """Squared Mahalanobis distance to the nearest of K means with one covariance; `means` K x F, `precision` F x F."""

    means: Array
    precision: Array

    def distances(self, features: Array) -> Array:
        """Compute N distances of N x F features."""
        away = features[:, None, :] - self.means
        return np.einsum("nkf,fg,nkg->nk", away, self.precision, away).min(axis=1)


@dataclass(frozen=True, eq=False)
class Likeness:
    """Distance of an embedding from those of the training images.

    Two distances, each as a share of a value that few training images exceed: Mahalanobis to the nearest class mean
    within the span of the first principal components (Lee and others 2018), and the distance from that span, along
    features that are constant in training images (Ndiour and others 2020; Wang and others 2022).

    Args:
        centre, scale: of each of D features.
        basis: k x D, the components of standardised features.
        inside: the distribution of their k coordinates.
        usual: for each of the two distances, a value that few training images exceed.
    """

    centre: Array
    scale: Array
    basis: Array
    inside: Gaussian
    usual: tuple[float, float]

    def distances(self, embeddings: Array) -> Array:
        """Compute N x 2 distances of N x D embeddings, before the division by `usual`."""
        standard = (embeddings - self.centre) / self.scale
        coordinates = standard @ self.basis.T
        rest = standard - coordinates @ self.basis
        return np.stack([self.inside.distances(coordinates), (rest**2).sum(axis=1)], axis=1)

    def values(self, embeddings: Array) -> Array:
        """Compute N values; above 1 for few training images."""
        return (self.distances(embeddings) / self.usual).max(axis=1)


@dataclass(frozen=True, eq=False)
class Gate:
    """Judge single images. Thread-safe: nothing changes after construction.

    Args:
        layout: distribution of `gate_features.layout` of training images.
        turns: W x 65, weights and bias of a linear classifier of `gate_features.greys` into the `WAYS`, in their order.
        likeness: of the network's features.
        thresholds: by check: the largest value that passes, or least and largest.
        part: 1 x 81 or 1 x 150, weights and bias of a linear classifier of `crop_detector.features`; `None`: no check.
    """

    layout: Gaussian
    turns: Array
    likeness: Likeness
    thresholds: Mapping[str, Any]
    part: Array | None = None

    def judge(self, look: Look, embedding: ArrayLike, lungs: Lungs | None = None) -> dict[str, Verdict]:
        """Return the verdict of each check by name: `value`, `threshold`, `ok`, and `words` where it objects.

        A value that is not finite (a broken network) is an objection, never an error; it is given as `None`.
        """
        evidence = self.evidence(look, embedding, None if lungs is None else extent(lungs))
        verdicts = {name: check(evidence) for name, check in CHECKS.items()}
        return {name: verdict for name, verdict in verdicts.items() if verdict is not None}

    def evidence(self, look: Look, embedding: ArrayLike, lungs: Array | None = None) -> Evidence:
        """Measure all values of one image; `lungs` are those of `crop_detector.extent`."""
        features = np.asarray(embedding, dtype=np.float64).ravel()
        place = layout(look.thumbnail[None])
        logits = self.turns[:, :-1] @ place[0, : CELLS**2] + self.turns[:, -1]
        best = list(WAYS)[int(np.argmax(logits))]
        values = {
            "contrast": look.contrast,
            "extremes": look.extremes,
            "aspect": look.aspect,
            "polarity": _margin(logits, "inverted"),
            "orientation": _margin(logits, "turned", "upside down"),
            "layout": float(self.layout.distances(place)[0]),
            "likeness": self._likeness(features),
            **self._part(place, lungs),
        }
        return Evidence(look, features, values, self.thresholds, best, self.layout)

    def _part(self, place: Array, lungs: Array | None) -> dict[str, float]:
        """Measure how much it looks like a part of a chest; empty where statistics or lungs are missing."""
        plain = self.part is not None and self.part.shape[1] == LAYOUT + 1
        if self.part is None or (lungs is None and not plain):
            return {}
        row = with_extent(place, None if plain or lungs is None else lungs[None])[0]
        return {PART: float(self.part[0, :-1] @ row + self.part[0, -1])}

    def _likeness(self, features: Array) -> float:
        if features.shape != self.likeness.centre.shape or not np.isfinite(features).all():
            return float("nan")
        with np.errstate(over="ignore", invalid="ignore"):  # an infinite distance is an objection like any other
            return float(self.likeness.values(features[None])[0])


def open_gate(facts: Mapping[str, Any] | None) -> Gate | None:
    """Open the gate stored in `bundle.json`; `None` where it has none. Raises `BadBundle` for another version."""
    if not facts:
        return None
    if facts.get("version") != VERSION:
        raise BadBundle(
            f"The gate of the bundle has version {facts.get('version')}, not {VERSION}: run covid-xray calibrate.",
            code="gate",
        )
    try:
        place, like, thresholds = facts["layout"], facts["likeness"], facts["thresholds"]
        return Gate(
            layout=Gaussian(unpacked(place["means"]), unpacked(place["precision"])),
            turns=unpacked(facts["turns"]),
            likeness=Likeness(
                centre=unpacked(like["centre"]),
                scale=unpacked(like["scale"]),
                basis=unpacked(like["basis"]),
                inside=Gaussian(unpacked(like["means"]), unpacked(like["precision"])),
                usual=(float(like["usual"][0]), float(like["usual"][1])),
            ),
            thresholds={name: thresholds[name] for name in (*MEASURED, *([PART] if PART in facts else []))},
            part=unpacked(facts[PART]) if PART in facts else None,
        )
    except (KeyError, TypeError, ValueError, IndexError):
        raise BadBundle("The gate of the bundle is incomplete. Fit it again.", code="gate") from None


def reasons(verdicts: Mapping[str, Verdict] | None) -> tuple[str, ...]:
    """Explain why there is no label: the named problems, or else the general ones."""
    objections = {name: str(verdict["words"]) for name, verdict in (verdicts or {}).items() if not verdict["ok"]}
    if "layout" in objections:  # a picture that is not a chest is not a part of one either
        objections.pop(PART, None)
    named = [words for name, words in objections.items() if name not in GENERAL]
    return tuple(named or objections.values())


def packed(values: ArrayLike, *, dtype: str = "<f4") -> dict[str, Any]:
    """Write an array as JSON: little-endian bytes in base64, a quarter of the size of its digits."""
    array = np.ascontiguousarray(values, dtype=np.dtype(dtype))
    return {"dtype": dtype, "shape": list(array.shape), "base64": base64.b64encode(array.tobytes()).decode("ascii")}


def unpacked(stored: Mapping[str, Any]) -> Array:
    """Read the array of `packed`, times its `scale` of each row if it has one. Raises `ValueError`, `KeyError`."""
    flat = np.frombuffer(base64.b64decode(stored["base64"], validate=True), dtype=np.dtype(stored["dtype"]))
    array = flat.reshape(stored["shape"]).astype(np.float64)
    return array * np.asarray(stored["scale"], dtype=np.float64)[:, None] if "scale" in stored else array


def _margin(logits: Array, *words: str) -> float:
    """Compute the margin of the best way with one of `words` in its name over the best way without."""
    done = np.array([any(word in way for word in words) for way in WAYS])
    return float(logits[done].max() - logits[~done].max())


def _modality(evidence: Evidence) -> Verdict | None:
    tag = evidence.look.modality
    words = f"the file says that it is {tag}, not a plain radiograph"
    return None if tag is None else verdict(tag, sorted(RADIOGRAPHY), ok=tag in RADIOGRAPHY, words=words)


def _view(evidence: Evidence) -> Verdict | None:
    tag = evidence.look.view
    words = f"the file says that the view is {tag}, not frontal (PA or AP)"
    return None if tag is None else verdict(tag, sorted(FRONTAL), ok=tag in FRONTAL, words=words)


def _contrast(evidence: Evidence) -> Verdict:
    value, least = evidence.values["contrast"], evidence.thresholds["contrast"]
    return verdict(value, least, ok=value >= least, words="looks blank: it has hardly any contrast")


def _extremes(evidence: Evidence) -> Verdict:
    value, most = evidence.values["extremes"], evidence.thresholds["extremes"]
    words = "looks like a drawing, text or mask: most of it is its darkest or brightest grey"
    return verdict(value, most, ok=value <= most, words=words)


def _aspect(evidence: Evidence) -> Verdict:
    value, (least, most) = evidence.values["aspect"], evidence.thresholds["aspect"]
    words = f"has an odd shape for a chest X-ray: much too {'wide' if value > most else 'narrow'}"
    return verdict(value, [least, most], ok=least <= value <= most, words=words)


def _turned(name: str, sentence: Callable[[str], str]) -> Check:
    def check(evidence: Evidence) -> Verdict:
        value, most = evidence.values[name], evidence.thresholds[name]
        # Only for a picture that looks like a chest once it is undone: a photograph is not "inverted".
        sure = value > most and evidence.restored <= evidence.thresholds["layout"]
        return verdict(value, most, ok=not sure, words=sentence(evidence.best))

    return check


def _general(name: str, words: str) -> Check:
    def check(evidence: Evidence) -> Verdict | None:
        if name not in evidence.values:
            return None
        value, most = evidence.values[name], evidence.thresholds[name]
        return verdict(value, most, ok=value <= most, words=words)

    return check


def verdict(value: float | str, threshold: Any, *, ok: bool, words: str) -> Verdict:
    """Make one verdict: a number that is not finite becomes `None` and an objection; a passed check has no words."""
    if isinstance(value, float):
        ok = ok and bool(np.isfinite(value))
        shown: Any = float(f"{value:.4g}") if np.isfinite(value) else None
    else:
        shown = value
    return {"value": shown, "threshold": threshold, "ok": bool(ok), "words": "" if ok else words}


def _how(way: str) -> str:
    return way.replace("turned left", "turned by 90 degrees").replace("turned right", "turned by 90 degrees")


CHECKS: Mapping[str, Check] = {
    "modality": _modality,
    "view": _view,
    "contrast": _contrast,
    "extremes": _extremes,
    "aspect": _aspect,
    "polarity": _turned("polarity", lambda way: "looks inverted (MONOCHROME1?): lungs bright, bones dark"),
    "orientation": _turned("orientation", lambda way: f"looks {_how(way).removeprefix('inverted and ')}"),
    PART: _general(PART, "looks like a part of a chest X-ray: some of the lungs is cut off or missing"),
    "layout": _general("layout", "does not look like a frontal chest X-ray"),
    "likeness": _general("likeness", "unlike the training images, by the network's features"),
}
