"""Measure the margin between copies and other images, and whether candidate search misses copies.

Margin: every candidate pair of the real set is registered; the least certain copies are compared with the most similar
other pairs. Misses: some images are registered with every other image of their kind, without candidate search.

    python -m experiments.duplicates_margin --data FOLDER_OF_THE_RADIOGRAPHS [--covid 40] [--children 10]

Writes docs/results/duplicates-margin.{json,md}. One thread; about ten minutes.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks._support.results import markdown_table, write_results
from covid_xray.data.duplicates.candidate_pairs import Candidate, find_candidates
from covid_xray.data.duplicates.fingerprints import Album, one_thread_each, open_album
from covid_xray.data.duplicates.registration import COPY, register
from covid_xray.data.manifest.manifest import read_manifest

EDGES = (0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.75, COPY, 0.85, 0.9, 0.95, 1.0)


def main() -> None:
    """Measure both and write docs/results/duplicates-margin."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--covid", type=int, default=40)
    parser.add_argument("--children", type=int, default=10)
    args = parser.parse_args()
    table = read_manifest(args.data, check=False).table
    paths = {image: args.data / image for image in table["image"]}
    with open_album(paths, workers=1) as album, one_thread_each():
        candidates = find_candidates(album, workers=1)
        tried = agreements(album, candidates)
        result = {"margin": margin(tried), "votes": []}
        found = set(tried.loc[tried["agreement"] >= COPY, "pair"])
        for name, rows, count in (
            ("covid", table["label"] == "covid", args.covid),
            ("children", table["source"] == "kermany", args.children),
        ):
            images = table.loc[rows, "image"].tolist()
            result["votes"].append({"images": name, **exhaustive(album, images, count=count, found=found)})
    rows = page(result)
    command = f"python -m experiments.duplicates_margin --data FOLDER --covid {args.covid} --children {args.children}"
    write_results("duplicates-margin", result, rows, title="Margin of the copy search", command=command)
    print(rows)


def agreements(album: Album, candidates: list[Candidate]) -> pd.DataFrame:
    """Register candidates; return columns pair and agreement (the higher one of plain and mirrored)."""
    rows = []
    for first, second, mirror in candidates:
        value = register(album[first], album[second], mirror=mirror).agreement
        rows.append((" | ".join(sorted((album.names[first], album.names[second]))), value))
    table = pd.DataFrame(rows, columns=["pair", "agreement"])
    return table.groupby("pair", as_index=False)["agreement"].max()


def margin(tried: pd.DataFrame) -> dict:
    """Compute the histogram of agreement, and list the pairs next to the decision threshold."""
    counts = np.histogram(tried["agreement"], EDGES)[0].tolist()
    below, above = tried[tried["agreement"] < COPY], tried[tried["agreement"] >= COPY]
    return {
        "pairs": len(tried),
        "edges": list(EDGES),
        "counts": counts,
        "copies": len(above),
        "least_sure_copies": above.nsmallest(8, "agreement").to_dict("records"),
        "surest_others": below.nlargest(12, "agreement").to_dict("records"),
    }


def exhaustive(album: Album, images: list[str], *, count: int, found: set[str]) -> dict:
    """Register `count` images with all others; count the copies, and those that candidate search had found."""
    number = {name: n for n, name in enumerate(album.names)}
    chosen = np.random.default_rng(1).choice(images, count, replace=False).tolist()
    pairs = sorted({tuple(sorted((number[a], number[b]))) for a in chosen for b in images if a != b})
    tried = agreements(album, [Candidate(a, b, False) for a, b in pairs])
    copies = tried[tried["agreement"] >= COPY]
    return {
        "chosen": count,
        "pairs": len(tried),
        "copies": len(copies),
        "found_by_votes": int(copies["pair"].isin(found).sum()),
        "surest_other": float(tried.loc[tried["agreement"] < COPY, "agreement"].max()),
        "missed": copies.loc[~copies["pair"].isin(found), "pair"].tolist(),
    }


def page(result: dict) -> str:
    """Format the tables of docs/results/duplicates-margin.md."""
    found = result["margin"]
    bins = zip(EDGES, EDGES[1:], found["counts"], strict=False)
    steps = [(f"{low:.2f} to {high:.2f}", count) for low, high, count in bins]
    sides = [(f"{row['agreement']:.3f}", row["pair"].replace("|", "and")) for row in found["least_sure_copies"]]
    others = [(f"{row['agreement']:.3f}", row["pair"].replace("|", "and")) for row in found["surest_others"]]
    votes = [
        (
            row["chosen"],
            row["images"],
            f"{row['pairs']:,}",
            row["copies"],
            row["found_by_votes"],
            f"{row['surest_other']:.2f}",
        )
        for row in result["votes"]
    ]
    return "\n\n".join(
        [
            f"## {found['pairs']:,} candidates, {found['copies']:,} of them copies (agreement of {COPY} or more)",
            "Pairs of identical files are included.",
            markdown_table(["agreement", "pairs"], steps),
            "The least certain copies:",
            markdown_table(["agreement", "pair"], sides),
            "The most similar other pairs:",
            markdown_table(["agreement", "pair"], others),
            "## Registered without candidate search",
            markdown_table(
                ["images", "of", "pairs", "copies", "found by candidate search", "most similar other pair"], votes
            ),
        ]
    )


if __name__ == "__main__":
    main()
