"""Measure how surely `trained.bin` recognises copies of the images that a network was trained on.

Every image of the tables is listed as if it had been trained on. Copies: some of them saved again, resized or
converted, each looked up by its content. Different radiographs: every image is looked up among all the others; a match
is a copy where the table of duplicates or a registration of the two pictures (`data.duplicates`) proves it.

    python -m experiments.trained_images --data FOLDER/cxr --data FOLDER/more [--copies 400]

Writes docs/results/trained_images.{json,md}.
"""

import argparse
import io
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from benchmarks._support.results import RESULTS, markdown_table, write_results
from covid_xray.bundle.trained import KINDS, Content, Trained, list_images
from covid_xray.data.duplicates.fingerprints import fingerprint as descriptors
from covid_xray.data.duplicates.registration import register
from covid_xray.data.manifest.file_checks import pixels_sha256
from covid_xray.data.manifest.manifest import read_manifest
from covid_xray.data.manifest.tables import read_table
from covid_xray.files import sha256_bytes
from covid_xray.images.decode import decode
from covid_xray.images.fingerprint import ENOUGH_WORDS, fingerprint, variants

KNOWN = RESULTS / "cxr-duplicates.csv"
MOST_PROVEN = 60  # registrations at most for each number of words; a second each


def main() -> None:
    """Measure copies, matches of different images and costs, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--copies", type=int, default=400, help="images that are changed in every way")
    parser.add_argument("--contents", type=Path, help="CSV that keeps what identifies each image, for the next time")
    args = parser.parse_args()
    paths = [path for folder in args.data for path in _files(folder)]
    paths, contents = _contents(paths, args.contents)
    trained = Trained((list_images({"train": contents}, salt=b"experiment"),))
    chosen = np.random.default_rng(0).choice(len(paths), min(args.copies, len(paths)), replace=False)
    recall = {way: _found(trained, [paths[i] for i in chosen], change) for way, change in WAYS.items()}
    matches = _matches(contents)
    result = {
        "images": len(paths), "bytes": len(trained.to_bytes()), "copies": len(chosen),
        "milliseconds": _milliseconds([paths[i] for i in chosen[:50]]),
        "recall": recall, "matches": _judged(matches, paths),
    }  # fmt: skip
    command = "python -m experiments.trained_images --data FOLDER/cxr --data FOLDER/more"
    write_results("trained_images", result, _page(result), title="Recognising trained images by content",
                  command=command)  # fmt: skip


def _files(folder: Path) -> list[Path]:
    manifest = read_manifest(folder, check=False)
    return [manifest.path(image) for image in manifest.table["image"]]


def _contents(paths: list[Path], kept: Path | None) -> tuple[list[Path], list[Content]]:
    """Return the files and what identifies each; `kept` is read where it exists, else written."""
    if kept is None or not kept.exists():
        found = [_content(path) for path in paths]
        if kept:
            pd.DataFrame({"image": [_name(path) for path in paths], **pd.DataFrame(found)}).to_csv(kept, index=False)
        return paths, found
    rows = {row.image: Content(row.sha256, row.pixels_sha256, row.fingerprint) for row in read_table(kept).itertuples()}
    listed = [path for path in paths if _name(path) in rows]
    return listed, [rows[_name(path)] for path in listed]


def _content(path: Path) -> Content:
    radiograph = decode(path.read_bytes())
    return Content(sha256_bytes(path.read_bytes()), pixels_sha256(radiograph), fingerprint(radiograph))


def _name(path: Path) -> str:
    """The path below the folder of all data sets: `cxr/images/SOURCE/FILE`."""
    return "/".join(path.parts[-4:])


def _milliseconds(paths: list[Path]) -> float:
    """Return the processor milliseconds that one fingerprint takes."""
    radiographs = [decode(path.read_bytes()) for path in paths]
    begun = time.process_time()
    for radiograph in radiographs:
        fingerprint(radiograph)
    return 1000 * (time.process_time() - begun) / len(paths)


def _found(trained: Trained, paths: list[Path], change: Callable[[Image.Image], bytes]) -> dict[str, int]:
    """Count the changed copies that are recognised, by how."""
    counts = dict.fromkeys([*dict.fromkeys(KINDS), "not found"], 0)
    for path in paths:
        data = change(_grey(path))
        radiograph = decode(data)
        content = Content(sha256_bytes(data), pixels_sha256(radiograph), fingerprint(radiograph))
        found = trained.find([content])[0]
        counts[found[1] if found else "not found"] += 1
    return counts


def _matches(contents: list[Content]) -> dict[tuple[int, int], int]:
    """Return the pairs of images with other pixels that share words, and how many."""
    words: dict[tuple[int, int], list[int]] = defaultdict(list)
    for number, content in enumerate(contents):
        for place, found in enumerate(variants(content.fingerprint)):
            words[place, found[0]].append(number)
    pairs: dict[tuple[int, int], int] = {}
    for number, content in enumerate(contents):
        shared = Counter(
            other
            for place, found in enumerate(variants(content.fingerprint))
            for other in {other for word in found for other in words.get((place, word), ())}
        )
        for other, count in shared.items():
            if contents[other].pixels_sha256 != content.pixels_sha256:
                pair = (min(number, other), max(number, other))
                pairs[pair] = max(count, pairs.get(pair, 0))
    return pairs


def _judged(pairs: dict[tuple[int, int], int], paths: list[Path]) -> dict[str, dict[str, int]]:
    """Count the pairs by common words, and which of them are copies by the table of duplicates or by registration."""
    group = {row.image: row.group for row in read_table(KNOWN).itertuples()}
    of = [group.get(_name(path).partition("/")[2], "") for path in paths]
    found = {}
    for words in sorted(set(pairs.values())):
        here = sorted(pair for pair, count in pairs.items() if count == words)
        unknown = [pair for pair in here if not of[pair[0]] or of[pair[0]] != of[pair[1]]]
        tried = [unknown[i] for i in np.random.default_rng(0).permutation(len(unknown))[:MOST_PROVEN]]
        proven = [register(*(descriptors(decode(paths[i].read_bytes())) for i in pair), mirror=False) for pair in tried]
        copies = sum(one.is_copy for one in proven)
        found[str(words)] = {
            "pairs": len(here), "in the table of duplicates": len(here) - len(unknown), "registered": len(tried),
            "proven by registration": copies, "not proven": len(tried) - copies,
        }  # fmt: skip
    return found


def _page(result: dict) -> str:
    rows = [(way, sum(n.values()), n["near"] + n["pixels"] + n["file"], f"{1 - n['not found'] / sum(n.values()):.1%}",
             n["pixels"]) for way, n in result["recall"].items()]  # fmt: skip
    found = result["matches"]
    copies = markdown_table(("the same radiograph", "copies", "recognised", "share", "of these by equal pixels"), rows)
    matches = [(words, *counts.values()) for words, counts in found.items()]
    return "\n\n".join(
        (
            f"{result['images']:,} radiographs are listed: {result['bytes']:,} bytes, five keys of 8 bytes each. A "
            f"fingerprint takes {result['milliseconds']:.1f} ms of processor time beside decoding the file.",
            f"## Copies\n\n{copies}",
            "## Different files among each other\n\n"
            f"{markdown_table(('common words', *next(iter(found.values()))), matches)}",
            f"{ENOUGH_WORDS} common words make two files the same image. Of "
            f"{result['images'] * (result['images'] - 1) // 2:,} pairs. Registration is the proof that "
            "`covid-xray duplicates` asks for: the fine detail of the two pictures agrees after alignment.",
        )
    )


def _grey(path: Path) -> Image.Image:
    radiograph = decode(path.read_bytes())
    return Image.fromarray((radiograph.pixels >> (radiograph.bits - 8)).astype(np.uint8))


def _saved(picture: Image.Image, kind: str, **options: int) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def _scaled(picture: Image.Image, *, longest: int) -> Image.Image:
    scale = longest / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.BICUBIC)


def _cropped(picture: Image.Image, share: float) -> Image.Image:
    w, h = picture.size
    return picture.crop((round(w * share), round(h * share), round(w * (1 - share)), round(h * (1 - share))))


def _half(picture: Image.Image) -> Image.Image:
    return _scaled(picture, longest=max(picture.size) // 2)


WAYS: dict[str, Callable[[Image.Image], bytes]] = {
    "saved as PNG": lambda p: _saved(p, "PNG"),
    "saved again, JPEG quality 90": lambda p: _saved(p, "JPEG", quality=90),
    "saved again, JPEG quality 75": lambda p: _saved(p, "JPEG", quality=75),
    "half size, PNG": lambda p: _saved(_half(p), "PNG"),
    "half size, JPEG quality 75": lambda p: _saved(_half(p), "JPEG", quality=75),
    "longest side 512 pixels, JPEG quality 90": lambda p: _saved(_scaled(p, longest=512), "JPEG", quality=90),
    "224 x 224 pixels, JPEG quality 90": lambda p: _saved(p.resize((224, 224)), "JPEG", quality=90),
    "brightened, gamma 0.8": lambda p: _saved(p.point(lambda v: int(255 * (v / 255) ** 0.8)), "PNG"),
    "cropped by 1 % of each side": lambda p: _saved(_cropped(p, 0.01), "PNG"),
    "cropped by 5 % of each side": lambda p: _saved(_cropped(p, 0.05), "PNG"),
    "mirrored": lambda p: _saved(p.transpose(Image.Transpose.FLIP_LEFT_RIGHT), "PNG"),
}


if __name__ == "__main__":
    main()
