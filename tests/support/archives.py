"""Archives for the tests of the cluster room: small drawn pictures under many names, and a bundle that knows them."""

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

import pyarrow.parquet as pq
from PIL import Image

from support.bundles import CLASSES, GREYS, grey, make_bundle

__all__ = ["CLASSES", "GREYS", "archive", "make_bundle", "picture", "rows", "shard"]


def picture(number: int) -> bytes:
    """A PNG that the small network takes for `covid`, `normal` or `virus` in turn."""
    out = io.BytesIO()
    Image.fromarray(grey(sorted(GREYS)[number % 3], seed=number)).save(out, "PNG")
    return out.getvalue()


def archive(folder: Path, count: int, *, distinct: int = 30) -> Path:
    """`count` pictures in folders of a hundred, `distinct` of them different."""
    pictures = [picture(number) for number in range(min(distinct, count))]
    for number in range(count):
        path = folder / f"{number // 100:03d}" / f"{number:06d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pictures[number % len(pictures)])
    return folder


def shard(path: Path, members: Iterable[tuple[str, bytes]], *, mode: str = "w") -> Path:
    """A tar file of these members."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def rows(out: Path, kind: str = "answers") -> list[dict]:
    """All rows of a results folder, in the order of its files."""
    files = sorted((out / kind).glob("part-*.parquet"))
    return [row for file in files for row in pq.read_table(file, page_checksum_verification=True).to_pylist()]
