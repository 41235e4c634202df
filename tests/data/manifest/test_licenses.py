"""Licence texts as the sources write them, and what may be kept."""

from pathlib import Path

import pandas as pd
import pytest

from covid_xray.data.manifest.licenses import allow_licenses, allows_derivatives, license_class
from covid_xray.data.manifest.manifest import Manifest, quarantine_table
from covid_xray.errors import BadManifest, UsageError


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("CC BY 4.0", "open"), ("CC0", "open"), ("CC BY-SA", "open"), ("CC BY-NC-SA", "noncommercial"),
        ("CC BY-NC-ND 4.0", "noncommercial"), ("unclear (the collectors state CC BY 4.0)", "unknown"), ("", "unknown"),
        ("NIH: free to use, acknowledgement asked", "open"), ("listed as authorized for everyone", "unknown"),
    ],
)  # fmt: skip
def test_license_classes(text, kind):
    assert license_class(text) == kind


def licensed(*texts: str) -> Manifest:
    table = pd.DataFrame(
        {"image": [f"{n}.png" for n in range(len(texts))], "label": "covid", "license": texts}, dtype=str
    )
    return Manifest(table, Path(), quarantine_table([]))


def test_each_policy_keeps_what_it_says_and_quarantines_the_rest():
    manifest = licensed("CC BY 4.0", "CC BY-NC 4.0", "")
    kept = {policy: allow_licenses(manifest, policy) for policy in ("open", "noncommercial", "any")}
    assert {policy: len(found.table) for policy, found in kept.items()} == {"open": 1, "noncommercial": 2, "any": 3}
    assert all(found.found == 3 for found in kept.values())
    assert kept["open"].quarantine["code"].tolist() == ["license", "license"]
    assert "none stated" in kept["open"].quarantine["reason"].iloc[1]


def test_no_licence_column_and_nothing_left_are_errors():
    without = Manifest(licensed("CC0").table.drop(columns="license"), Path(), quarantine_table([]))
    with pytest.raises(BadManifest, match="No image has a licence that is open"):
        allow_licenses(without, "open")
    with pytest.raises(UsageError, match="'mine'"):
        allow_licenses(licensed("CC0"), "mine")


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("CC BY 4.0", True), ("CC BY-NC-SA", True), ("CC0", True), ("NIH: free to use, acknowledgement asked", True),
        ("CC BY-NC-ND 4.0", False), ("CC BY-ND", False), ("CC Attribution-NoDerivatives", False),
        ("free to use, no derivatives", False), ("", False), ("Elsevier", False),
        ("unclear (the collectors state CC BY 4.0)", False),
    ],
)  # fmt: skip
def test_what_networks_may_be_made_from(text, allowed):
    assert allows_derivatives(text) is allowed
