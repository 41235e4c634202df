"""Check a data set for known pitfalls, each with a verdict, a number and advice, and write JSON and HTML."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from covid_xray import __version__
from covid_xray.config import Limits
from covid_xray.data.doctor.doctor_page import page
from covid_xray.data.doctor.missingness import has_clinical_values, missingness
from covid_xray.data.doctor.pitfall import Pitfall, Verdict
from covid_xray.data.doctor.pitfalls import TABLE_CHECKS, across_splits, associations
from covid_xray.data.doctor.pixel_facts import PixelFacts, measure
from covid_xray.data.doctor.pixel_pitfalls import PIXEL_CHECKS
from covid_xray.data.duplicates.overlap import distinct, shared_pairs
from covid_xray.data.manifest.manifest import Manifest, counts, fingerprint
from covid_xray.files import write_json, write_text

SEVERITY = {Verdict.FAIL: 0, Verdict.WARN: 1, Verdict.PASS: 2}


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """Result of all checks on a data set.

    Args:
        title: name of the data set.
        pitfalls: all checks, the worst first.
        facts: counts for JSON: images, radiographs, people at most, images per class and source, copies by source.
    """

    title: str
    pitfalls: tuple[Pitfall, ...]
    facts: dict[str, Any]

    def count(self, verdict: Verdict) -> int:
        """Count the checks with this verdict."""
        return sum(pitfall.verdict is verdict for pitfall in self.pitfalls)


def examine(
    manifest: Manifest,
    *,
    title: str = "data set",
    pixels: PixelFacts | None = None,
    limits: Limits | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Diagnosis:
    """Run every check on a manifest that was read with `check=True`.

    Args:
        manifest: with the column `group` (`with_duplicates`) for near copies; without it that check only warns.
        title: name of the data set, for the page.
        pixels: measured facts in the order of the manifest; measured here by default.
        limits, progress: as for `measure`.
    """
    facts = pixels or measure(manifest, limits=limits, progress=progress)
    found = [check(manifest) for check in TABLE_CHECKS]
    found += [missingness(manifest)] if has_clinical_values(manifest) else []
    found += [*across_splits(manifest), *across_splits(manifest, column="original_split"), *associations(manifest)]
    found += [check(manifest, facts) for check in PIXEL_CHECKS]
    ordered = tuple(sorted(found, key=lambda pitfall: SEVERITY[pitfall.verdict]))
    return Diagnosis(title, ordered, _facts(manifest))


def write_diagnosis(diagnosis: Diagnosis, folder: Path) -> tuple[Path, Path]:
    """Write doctor.json and a self-contained doctor.html, each atomically; return their paths."""
    data, html = folder / "doctor.json", folder / "doctor.html"
    write_json(data, as_json(diagnosis))
    write_text(html, page(as_json(diagnosis)))
    return data, html


def as_json(diagnosis: Diagnosis) -> dict[str, Any]:
    """Convert to plain values: title, version, verdict counts, facts, pitfalls."""
    return {
        "title": diagnosis.title,
        "covid_xray": __version__,
        "verdicts": {verdict.value: diagnosis.count(verdict) for verdict in Verdict},
        "facts": diagnosis.facts,
        "pitfalls": [pitfall.as_json() for pitfall in diagnosis.pitfalls],
    }


def _facts(manifest: Manifest) -> dict[str, Any]:
    images, films, people = distinct(manifest)
    facts: dict[str, Any] = {
        "found": manifest.found,
        "images": images,
        "quarantined": len(manifest.quarantine),
        "radiographs": films,
        "people_at_most": people,
        "fingerprint": fingerprint(manifest),
        "near_copies_searched": "group" in manifest.table,
        "classes": {str(k): int(v) for k, v in counts(manifest)["images"].items()},
    }
    if "source" in manifest.table:
        by = counts(manifest, by="source").drop(columns="all")
        facts["class_by_source"] = {str(la): {str(s): int(n) for s, n in row.items()} for la, row in by.iterrows()}
        pairs = shared_pairs(manifest)
        facts["pairs_of_one_radiograph"] = {
            str(a): {str(b): int(n) for b, n in row.items()} for a, row in pairs.iterrows()
        }
    return facts
