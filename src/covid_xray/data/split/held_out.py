"""Split images into train and test by patient and copies, with some images in test only."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from covid_xray.data.manifest.licenses import allows_derivatives
from covid_xray.data.manifest.manifest import Manifest
from covid_xray.data.split.groups import groups
from covid_xray.errors import BadSplit


def held_out(
    manifest: Manifest, *, share: float, seed: int = 0, test_only: NDArray[np.bool_] | None = None
) -> pd.Series:
    """Assign each image to train or test (index `image`); patients and copies stay together.

    Args:
        manifest: N images.
        share: share of the groups without `test_only` images that go to test.
        seed: of the random choice.
        test_only: N booleans; a group with such an image goes to test as a whole.

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
            raise BadSplit(f"The part {name} would hold no patient. Change the share, or add images.")
    return pd.Series(part, index=pd.Index(images, name="image"), name="split", dtype=str)


def forbids_derivatives(manifest: Manifest) -> NDArray[np.bool_]:
    """Return N booleans: the images whose licence forbids derivatives or is unknown."""
    table = manifest.table
    if "license" not in table:
        return np.ones(len(table), dtype=bool)
    return ~table["license"].map(allows_derivatives).to_numpy(dtype=bool)
