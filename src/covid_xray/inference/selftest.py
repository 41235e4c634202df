"""Check that a bundle gives the same results on this machine as where it was made.

The reference images are drawn from integers alone, so they are the same bytes on every machine; they go through PNG,
the decoder, the resize and the network. The results are stored in `bundle.json` at export, under `reference`.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from covid_xray.errors import BadBundle
from covid_xray.files import sha256_bytes
from covid_xray.images.phantoms.reference import draw
from covid_xray.inference.networks.network import calibrate
from covid_xray.inference.predictor import Predictor

VERSION = 1  # of `draw`; raise it when a pixel changes
IMAGES = 6
# Largest difference of a probability; the embedding may differ by as much of its largest value. float32 differs by
# the order of sums, bfloat16 has three significant digits, int8 rounds otherwise where the processor lacks VNNI.
TOLERANCE = {"float32": 1e-4, "bfloat16": 0.05, "int8": 0.05}


@dataclass(frozen=True)
class Result:
    """Result of `check`: number of images, the largest difference of a probability, and the differences in words."""

    images: int
    largest: float
    problems: tuple[str, ...]


def references(predictor: Predictor) -> dict[str, Any]:
    """Compute the references for `bundle.json`: version and seeds of the drawings, and the results of `predictor`."""
    return {"version": VERSION, "tolerance": TOLERANCE, "images": [_reference(predictor, s) for s in range(IMAGES)]}


def check(predictor: Predictor) -> Result:
    """Draw the reference images again and compare pixels and outputs with those stored in the bundle.

    Raises:
        BadBundle: the bundle holds none (`no-reference`), or those of another version.
    """
    stored = predictor.bundle.facts.get("int8" if predictor.bundle.int8 else "model", {})
    facts = stored.get("reference") or predictor.bundle.facts.get("reference")
    if not isinstance(facts, Mapping) or facts.get("version") != VERSION:
        raise BadBundle(
            f"The bundle holds no reference results of version {VERSION} to compare with. Write it anew with "
            "`covid-xray export`.",
            code="no-reference",
        )
    problems: list[str] = []
    largest = 0.0
    for image in facts["images"]:
        difference, found = _compare(image, _reference(predictor, int(image["seed"])), predictor)
        largest = max(largest, difference)
        problems += found
    return Result(images=len(facts["images"]), largest=largest, problems=tuple(problems))


def reference_inputs(predictor: Predictor) -> NDArray[np.uint8]:
    """Draw the reference images as inputs of `predictor`: N x height x width uint8."""
    return np.stack([predictor.read(_png(draw(seed))) for seed in range(IMAGES)])


def _reference(predictor: Predictor, seed: int) -> dict[str, Any]:
    pixels = predictor.read(_png(draw(seed)))
    outputs = predictor.forward(pixels[None], class_maps=True)
    peaks = outputs["class_maps"][0].max(axis=(1, 2))
    return {
        "seed": seed,
        "pixels_sha256": sha256_bytes(pixels.tobytes()),
        "probabilities": _digits(outputs["probabilities"][0]),
        "embedding": _digits(_summary(outputs["embedding"][0])),
        "map_peaks": _digits(peaks),
    }


def _compare(stored: Mapping[str, Any], found: Mapping[str, Any], predictor: Predictor) -> tuple[float, list[str]]:
    tolerance = TOLERANCE[predictor.precision]
    name = f"reference image {stored['seed']}"
    problems = []
    if found["pixels_sha256"] != stored["pixels_sha256"]:
        problems.append(f"{name}: the pixels that reach the network differ (decoder or resize)")
    temperature = predictor.bundle.temperature
    expected, answer = (_calibrated(facts["probabilities"], temperature) for facts in (stored, found))
    largest = _difference(expected, answer)
    if not largest <= tolerance:
        shown = ", ".join(
            f"{label} {e:.4f} became {a:.4f}" for label, e, a in zip(predictor.classes, expected, answer, strict=True)
        )
        problems.append(f"{name}: probabilities differ by {largest:.1e}, more than {tolerance:.0e}: {shown}")
    for key in ("embedding", "map_peaks"):
        scale = max(float(np.abs(stored[key]).max()), 1e-12)
        difference = _difference(np.array(stored[key]), np.array(found[key])) / scale
        if not difference <= max(tolerance, 1e-3) * 2:
            problems.append(f"{name}: {key} differs by {difference:.1%} of its largest value")
    return largest, problems


def _difference(first: NDArray[Any], second: NDArray[Any]) -> float:
    return float(np.abs(first - second).max()) if first.shape == second.shape else float("inf")


def _calibrated(probabilities: Sequence[float], temperature: float) -> NDArray[np.float32]:
    return calibrate(np.array([probabilities], np.float32), temperature=temperature)[0]


def _summary(embedding: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sum 16 groups of features: enough to notice a change, small enough for a JSON file."""
    return np.array([part.sum() for part in np.array_split(embedding, 16)], np.float32)


def _digits(values: NDArray[np.float32]) -> list[float]:
    return [float(f"{value:.7g}") for value in values.tolist()]


def _png(pixels: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()
