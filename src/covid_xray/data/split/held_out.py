"""Images that may only test in, a split of two parts out: train and test, by patient and copies."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from covid_xray.data.manifest.licenses import may_be_built_on
from covid_xray.data.manifest.manifest import Manifest
from covid_xray.data.split.groups import groups
from covid_xray.errors import BadSplit


def held_out(
    manifest: Manifest, *, share: float, seed: int = 0, test_only: NDArray[np.bool_] | None = None
) -> pd.Series:
    """Part of each image: index `image`, values train or test; patients and copies stay together.

    Args:
        manifest: N images; labels do not matter.
        share: of the groups that may train, which test instead.
        seed: of the draw.
        test_only: N booleans; a group with such an image is in the test part as a whole.

    Raises:
        BadSplit: a part would be empty.
    """
    images = manifest.table["image"]
    member = groups(manifest).loc[images].to_numpy()
    bound = np.unique(member[test_only]) if test_only is not None else np.array([], dtype=member.dtype)
    free = np.setdiff1d(member, bound)
    drawn = np.random.default_rng(seed).permutation(free)[: round(share * len(free))]
    part = np.where(np.isin(member, np.concatenate([bound, drawn])), "test", "train")
    for name in ("train", "test"):
        if not (part == name).any():
            raise BadSplit(f"expected images of at least one patient in the part {name}. Received: none")
    return pd.Series(part, index=pd.Index(images, name="image"), name="split", dtype=str)


def not_to_be_built_on(manifest: Manifest) -> NDArray[np.bool_]:
    """N booleans: the images whose licence does not let others build on them, or that state none."""
    table = manifest.table
    if "license" not in table:
        return np.ones(len(table), dtype=bool)
    return ~table["license"].map(may_be_built_on).to_numpy(dtype=bool)
