"""What a licence text allows: open (any use, with attribution), noncommercial, or unknown; and the filter by it."""

import re
from dataclasses import replace

import pandas as pd

from covid_xray.data.manifest.manifest import Manifest, quarantine_table
from covid_xray.data.manifest.readers import Refusal
from covid_xray.errors import BadManifest, UsageError

ALLOW = ("open", "noncommercial", "any")
# In this order; the first that is found decides.
RULES = (
    (r"unclear|unknown|not stated|no licen[cs]e", "unknown"),
    # "No derivatives" allows trade but not the passing on of what was made from the images: as narrow for us as NC.
    (r"\bnc\b|\bnd\b|non-?commercial|research (use|purposes?)|academic", "noncommercial"),
    (r"\bcc[ -]?(by|0)\b|\bcc0|public domain|free to use|creative commons attribution|apache|mit licen", "open"),
)
NO_DERIVATIVES = r"\bnd\b|no[ -]?deriv"


def license_class(text: str) -> str:
    """`open`, `noncommercial` or `unknown` for a licence as the sources write it; an empty text is `unknown`."""
    return next((kind for pattern, kind in RULES if re.search(pattern, text.lower())), "unknown")


def may_be_built_on(text: str) -> bool:
    """Whether a licence as the sources write it lets others pass on what they made from the image.

    A network is made from its training images. "No derivatives" forbids that, and where nothing is stated nobody has
    allowed it; such images can still test a network.
    """
    return license_class(text) != "unknown" and not re.search(NO_DERIVATIVES, text.lower())


def allow_licenses(manifest: Manifest, allow: str) -> Manifest:
    """Move images whose licence is not allowed into the quarantine (code `license`).

    Args:
        manifest: its column `license` is read; a manifest without it has no known licence at all.
        allow: `open` keeps open ones only, `noncommercial` those too, `any` everything, unknown licences included.

    Raises:
        UsageError: another word.
        BadManifest: nothing is left.
    """
    if allow not in ALLOW:
        raise UsageError(f"expected a licence policy out of {', '.join(ALLOW)}. Received: {allow!r}")
    if allow == "any":
        return manifest
    licenses = manifest.table["license"] if "license" in manifest.table else pd.Series("", index=manifest.table.index)
    kept = licenses.map(license_class).isin({"open", allow})
    refused = [
        Refusal(image, "license", f"expected a licence that is {allow}. Received: {text or 'none stated'}")
        for image, text in zip(manifest.table["image"][~kept], licenses[~kept], strict=True)
    ]
    if not kept.any():
        raise BadManifest(f"expected images with a licence that is {allow}. Received: none, {refused[0].reason}")
    quarantine = pd.concat([manifest.quarantine, quarantine_table(refused)], ignore_index=True)
    return replace(manifest.take(kept), quarantine=quarantine)
