"""A data set without a pitfall, to be spoilt in one way at a time by the tests of the doctor."""

from pathlib import Path

import numpy as np
import pandas as pd

from covid_xray.data.doctor.doctor import examine
from covid_xray.data.doctor.pitfall import Verdict
from covid_xray.data.doctor.pixel_facts import PixelFacts
from covid_xray.data.manifest.manifest import Manifest, quarantine_table

N = 600
I = np.arange(N)  # noqa: E741


def clean(**columns) -> tuple[Manifest, PixelFacts]:
    """A set without a pitfall: two classes, three sources, everything known and balanced."""
    random = np.random.default_rng(0)
    i = np.arange(N)
    table = pd.DataFrame(
        {
            "image": [f"i{k:04d}.png" for k in i],
            "label": np.where(i % 2, "covid", "normal"),
            "patient_id": [f"p{k}" for k in i],
            "source": random.choice(["x", "y", "z"], N),
            "view": random.choice(["PA", "AP"], N),
            "age": random.integers(30, 80, N).astype(str),
            "sex": random.choice(["M", "F"], N),
            "license": "CC BY 4.0",
            "sha256": [f"{k:064x}" for k in i],
            "pixels_sha256": [f"{k:064x}" for k in i],
            "group": "",
            "file_format": "PNG",
            "file_mode": "L",
            "file_width": "512",
            "file_height": "512",
            "file_bytes": "10000",
        }
    ).assign(**columns)
    template = random.normal(size=(32, 32))
    pictures = template + random.normal(scale=0.5, size=(N, 32, 32))
    thumbnails = np.clip(128 + 40 * pictures, 0, 255).astype(np.uint8)
    facts = pd.DataFrame({"border": 0.0, "marks": 0.0, "edge_marks": 0.0}, index=table["image"])
    return Manifest(table.astype(str), Path(), quarantine_table([])), PixelFacts(thumbnails, facts)


def verdicts(manifest: Manifest, facts: PixelFacts) -> dict[str, Verdict]:
    return {p.name: p.verdict for p in examine(manifest, pixels=facts).pitfalls}


def changed(**columns) -> set[str]:
    """The checks that no longer pass when these columns are so."""
    return {name for name, verdict in verdicts(*clean(**columns)).items() if verdict is not Verdict.PASS}
