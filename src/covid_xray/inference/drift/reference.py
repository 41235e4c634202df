"""Keep of each image what drift monitoring needs, and a bounded sample of such images to compare others with.

No picture, no name, no identifier and no time is kept. The embeddings are still derived from patients: a
reference is written with mode 0600 and belongs inside the store or the folder of the site.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from covid_xray.errors import InputRefused
from covid_xray.files import replacing
from covid_xray.images.appearance import Figures
from covid_xray.inference.finding import Failure, Finding
from covid_xray.inference.gate import packed, unpacked

MOST = 300  # images of a reference
FORMAT = "covid-xray-drift-1"
DRIFT_FILE = "drift.json"  # in the folder of a site or of results
REFUSED = "refused"  # the answer of a file that could not be read
NORMAL = "normal"


@dataclass(frozen=True, eq=False)
class Observation:
    """What is kept of one image.

    Args:
        answer: the label, `cannot say`, or `REFUSED`.
        ill: probability that the image is not normal, 0..1; `None` where there is none.
        view, vendor: as the file states them.
        objections: names of the gate's checks that objected.
        embedding: D float32, the network's features; `None` for a refused file.
        figures: of `appearance`; `None` for a refused file.
    """

    answer: str
    ill: float | None = None
    view: str | None = None
    vendor: str | None = None
    objections: tuple[str, ...] = ()
    embedding: NDArray[np.float32] | None = None
    figures: Figures | None = None


def observe(answer: Finding | Failure) -> Observation:
    """Select what is kept of an answer."""
    if isinstance(answer, Failure):
        return Observation(REFUSED)
    seen, numbers = answer.appearance, answer.probabilities
    ill = answer.ill if answer.ill is not None else 1.0 - numbers.get(NORMAL, 1.0 - max(numbers.values()))
    return Observation(
        answer=answer.label,
        ill=float(ill) if np.isfinite(ill) else None,
        view=seen.view if seen else None,
        vendor=seen.vendor if seen else None,
        objections=tuple(name for name, verdict in (answer.gate or {}).items() if not verdict["ok"]),
        embedding=answer.embedding,
        figures=seen.figures if seen else None,
    )


@dataclass(frozen=True, eq=False)
class Reference:
    """At most `MOST` images of one network, drawn by chance from `images`."""

    model_sha256: str
    observations: tuple[Observation, ...]
    images: int

    @classmethod
    def from_findings(cls, answers: Iterable[Finding | Failure], *, model_sha256: str, seed: int = 0) -> "Reference":
        """Draw a reference from answers; an image without an answer counts as refused."""
        return cls.draw([observe(answer) for answer in answers], model_sha256=model_sha256, seed=seed)

    @classmethod
    def draw(
        cls, observations: Sequence[Observation], *, model_sha256: str, seed: int = 0, most: int = MOST
    ) -> "Reference":
        """Draw a reference of at most `most` from what was kept of images, in their order."""
        count = len(observations)
        kept = np.sort(np.random.default_rng(seed).permutation(count)[:most])
        return cls(model_sha256, tuple(observations[i] for i in kept), count)

    @classmethod
    def merge(cls, parts: Sequence["Reference"], *, seed: int = 0) -> "Reference":
        """Draw one reference from those of parts of an archive, each image standing for as many as its part has."""
        rows = [one for part in parts for one in part.observations]
        if not rows:
            return parts[0]
        stands_for = np.array([part.images / len(part.observations) for part in parts for _ in part.observations])
        chosen = np.random.default_rng(seed).choice(
            len(rows), min(MOST, len(rows)), replace=False, p=stands_for / stands_for.sum()
        )
        return cls(parts[0].model_sha256, tuple(rows[i] for i in np.sort(chosen)), sum(part.images for part in parts))

    def write(self, path: Path) -> None:
        """Write the reference as JSON with mode 0600; it is complete and on disk on return."""
        with replacing(path) as temporary:
            temporary.touch()
            temporary.chmod(0o600)
            temporary.write_bytes(self.encode())

    def encode(self) -> bytes:
        """Encode the reference as JSON."""
        rows = self.observations
        facts: dict[str, Any] = {"format": FORMAT, "model_sha256": self.model_sha256, "images": self.images}
        facts |= {name: [getattr(row, name) for row in rows] for name in ("answer", "view", "vendor", "objections")}
        facts["ill"] = packed([np.nan if row.ill is None else row.ill for row in rows])
        facts["embedding"] = packed(_stacked([row.embedding for row in rows]), dtype="<f2")
        facts["figures"] = packed(_stacked([row.figures for row in rows]))
        return json.dumps(facts, allow_nan=False).encode()

    @classmethod
    def decode(cls, data: bytes, *, name: str = "The data") -> "Reference":
        """Decode `encode`. Raises `InputRefused` (`bad-drift`) for other data, with `name` in the message."""
        try:
            facts = json.loads(data)
            if facts["format"] != FORMAT:
                raise ValueError
            ill, embeddings, figures = (unpacked(facts[key]) for key in ("ill", "embedding", "figures"))
            rows = tuple(
                Observation(
                    *(answer, None if np.isnan(ill[i]) else float(ill[i]), facts["view"][i], facts["vendor"][i]),
                    *(tuple(facts["objections"][i]), _row(embeddings[i]), _row(figures[i])),
                )
                for i, answer in enumerate(facts["answer"])
            )
            return cls(str(facts["model_sha256"]), rows, int(facts["images"]))
        except (ValueError, KeyError, TypeError, IndexError):
            raise InputRefused(
                f"{name} holds no drift reference. Accepted: drift.json as commission and score write it.",
                code="bad-drift",
            ) from None

    @classmethod
    def read(cls, path: Path) -> "Reference":
        """Read a file of `write`, or the one in a folder. Raises `InputRefused` (`missing-file`, `bad-drift`)."""
        path = path / DRIFT_FILE if path.is_dir() else path
        try:
            data = path.read_bytes()
        except OSError:
            raise InputRefused(f"No such file: {path}", code="missing-file") from None
        return cls.decode(data, name=str(path))


def reference_of(site: Path | None) -> Path | None:
    """Return the reference beside a site file, or in its folder; `None` where there is none."""
    if site is None:
        return None
    file = (site if site.is_dir() else site.parent) / DRIFT_FILE
    return file if file.is_file() else None


def _stacked(rows: Sequence[NDArray[np.float32] | None]) -> NDArray[np.float32]:
    """Stack rows of one length; missing ones become NaN."""
    width = next((len(row) for row in rows if row is not None), 0)
    empty = np.full(width, np.nan, np.float32)
    return np.stack([empty if row is None else row for row in rows]) if rows else np.zeros((0, 0), np.float32)


def _row(values: NDArray[np.float64]) -> NDArray[np.float32] | None:
    return None if not len(values) or np.isnan(values).all() else values.astype(np.float32)
