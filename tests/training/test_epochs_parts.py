from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("tensorflow")

from covid_xray.data.manifest.manifest import read_manifest
from covid_xray.training.cache import PixelCache
from covid_xray.training.epochs import part_of
from support.datasets import CLASSES, draw_folders


def test_a_part_holds_its_own_images_with_the_numbers_of_their_classes(tmp_path: Path) -> None:
    manifest = read_manifest(draw_folders(tmp_path, each=4))
    names = list(manifest.table["image"])
    split = pd.Series(["train" if number % 3 else "val" for number in range(len(names))], index=names)
    shuffled = split.sample(frac=1, random_state=1)  # rows of a split come in any order
    cache = PixelCache(np.zeros((len(names), 8, 8), np.uint8), {name: row for row, name in enumerate(names)})
    for part in ("train", "val"):
        found = part_of(manifest, shuffled, part, cache)
        assert list(found.images) == [name for name in names if split[name] == part]
        assert [CLASSES[code] for code in found.labels] == [name.split("/")[0] for name in found.images]
        assert found.classes == tuple(sorted(CLASSES))
        assert found.cache is cache
        assert len(found.groups) == len(found)
