"""Read and write `site.json`: what was found when a bundle was checked at one hospital (`covid-xray commission`)."""

import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from covid_xray.bundle.bundle import Bundle
from covid_xray.errors import InputRefused
from covid_xray.files import sha256_bytes, write_json
from covid_xray.inference.finding import SiteCheck
from covid_xray.inference.gate import packed, unpacked
from covid_xray.inference.site.correction import Correction, healthy_class

FORMAT = 1
SITE_FILE = "site.json"
FIT, FIT_HERE, NOT_FIT = "fit", "fit-with-site-threshold", "not-fit"
KEYS = ("name", "verdict", "rule", "bundle_sha256", "counts", "thresholds", "signed_by", "expires")


@dataclass(frozen=True, eq=False)
class Site:
    """One hospital at which a bundle was checked.

    Args:
        name: of the hospital.
        verdict: `fit`, `fit-with-site-threshold` or `not-fit`.
        sha256: of the file's content.
        bundle_sha256: `Bundle.answers_sha256` of the bundle that was checked.
        expires: the last day on which the check holds.
        correction: what is done to answers at this hospital.
        facts: all of `site.json`.
    """

    name: str
    verdict: str
    sha256: str
    bundle_sha256: str
    expires: datetime.date
    correction: Correction
    facts: Mapping[str, Any]

    def check(self) -> SiteCheck:
        """Return the check as today's predictions name it."""
        ended = self.expires.isoformat() if datetime.datetime.now(datetime.UTC).date() > self.expires else None
        return SiteCheck(self.name, self.verdict, self.sha256, ended)

    def require_bundle(self, bundle: Bundle) -> int:
        """The place of the healthy class. Raises `InputRefused` (code `other-bundle`) for another bundle."""
        well = healthy_class(bundle.facts)
        if self.bundle_sha256 != bundle.answers_sha256 or well is None:
            raise InputRefused(
                f"The site file of {self.name} was made with another bundle than this one ({bundle.name} "
                f"{bundle.version}). Run `covid-xray commission` again with this bundle.",
                code="other-bundle",
            )
        return bundle.classes.index(well)


def read_site(path: Path) -> Site:
    """Read `site.json`, or the one in the folder `path`.

    Raises:
        InputRefused: no such file (`no-site`), or not as `covid-xray commission` wrote it (`bad-site`).
    """
    file = path / SITE_FILE if path.is_dir() else path
    if not file.is_file():
        raise InputRefused(
            f"No such site file: {file}. Make one with `covid-xray commission IMAGES --name SITE -o {path}`.",
            code="no-site",
        )
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))
        if facts["format"] == FORMAT and facts["sha256"] == _sealed(facts)["sha256"]:
            return _site(facts)
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise InputRefused(
        f"{file} is not as `covid-xray commission` wrote it: it is of another format, or was changed. "
        "Run the command again.",
        code="bad-site",
    )


def make_site(facts: Mapping[str, Any]) -> Site:
    """The site with these `facts` (the keys of `KEYS`), with format and hash."""
    return _site(_sealed({"format": FORMAT, **{key: facts[key] for key in KEYS}}))


def write_site(path: Path, site: Site) -> None:
    """Write the site file `path`, atomically."""
    write_json(path, site.facts)


def correction_facts(correction: Correction) -> dict[str, Any]:
    """A correction as JSON."""
    weights = None if correction.weights is None else packed(correction.weights)
    return {
        "log_odds": correction.threshold,
        "temperature": correction.temperature,
        "features": {"constant": correction.constant, "weights": weights},
    }


def _site(facts: Mapping[str, Any]) -> Site:
    used = facts["thresholds"]["used"]
    weights = used["features"]["weights"]
    return Site(
        name=str(facts["name"]),
        verdict=str(facts["verdict"]),
        sha256=str(facts["sha256"]),
        bundle_sha256=str(facts["bundle_sha256"]),
        expires=datetime.date.fromisoformat(facts["expires"]),
        correction=Correction(
            threshold=float(used["log_odds"]),
            temperature=float(used["temperature"]),
            constant=float(used["features"]["constant"]),
            weights=None if weights is None else unpacked(weights),
        ),
        facts=facts,
    )


def _sealed(facts: Mapping[str, Any]) -> dict[str, Any]:
    content = {key: value for key, value in facts.items() if key != "sha256"}
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return {**content, "sha256": sha256_bytes(text.encode("utf-8", errors="surrogatepass"))}
