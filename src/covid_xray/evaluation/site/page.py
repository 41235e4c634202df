"""Write the page of a check at a hospital as sections: verdict and signature first, evidence after."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from covid_xray.evaluation.report.html import report_html
from covid_xray.evaluation.report.pdf import report_pdf
from covid_xray.evaluation.report.sections import (
    Block,
    Bullets,
    Card,
    Cards,
    Cell,
    Pairs,
    Section,
    Table,
    Text,
    cells,
    counts,
    flatten,
    percent,
    with_span,
)
from covid_xray.evaluation.site.answers import Rates, Share
from covid_xray.evaluation.site.commission import LISTED, Commissioning, site_facts
from covid_xray.evaluation.site.verdict import Candidate
from covid_xray.files import replacing, write_text
from covid_xray.inference.predictor import Predictor
from covid_xray.inference.site.site_file import FIT, FIT_HERE, NOT_FIT, SITE_FILE, Site, make_site, write_site

VERDICTS = {FIT: "Fit", FIT_HERE: "Fit with the threshold of this hospital", NOT_FIT: "Not fit"}
LINE = "_" * 34
KIND = "Acceptance test"


def title(found: Commissioning) -> str:
    """Return the title of the page."""
    return f"{found.name}: {VERDICTS[found.verdict]}"


def sections(found: Commissioning, site: Site) -> list[Section]:
    """Return the sections of the page.

    Args:
        found: at the hospital.
        site: the site file as it was written.
    """
    return [
        _summary(found, site),
        _images(found),
        _thresholds(found),
        *_where(found),
        *_doubtful(found),
        *_previous(found, site),
        _about(found),
    ]


def _summary(found: Commissioning, site: Site) -> Section:
    rates = found.used.rates
    said = {FIT: "strong", FIT_HERE: "strong"}.get(found.verdict, "alert")
    rows = tuple((Cell(one.name), Cell(one.found), Cell(one.limit), _mark(one.holds)) for one in found.used.criteria)
    sign = (
        ("Signed by", site.facts["signed_by"] or LINE),
        ("Date and signature", LINE),
        ("Holds until", site.facts["expires"]),
        ("Bundle", f"SHA-256 of what its answers depend on: {site.bundle_sha256}"),
        ("Site file", f"SHA-256 {site.sha256}"),
    )
    return Section(
        "summary",
        "Summary",
        flatten(
            Text(_verdict_sentence(found), said),
            Cards(
                (
                    _card("Healthy called ill", rates.false_positives, found),
                    _card("Answered cannot say", rates.cannot_say, found),
                    _card("Ill called ill", rates.sensitivity, found, lower=True),
                )
            ),
            Table("The rule, written down before", ("criterion", "found", "limit", "holds"), rows, words=True),
            _provisos(found),
            Pairs(sign),
        ),
    )


def _verdict_sentence(found: Commissioning) -> str:
    if found.verdict == FIT:
        return f"Fit at {found.name} as the bundle ships."
    if found.verdict == FIT_HERE:
        return f"Fit at {found.name} with the threshold of this hospital, which its site file applies to every answer."
    broken = "; ".join(one.name.lower() for one in found.used.criteria if not one.holds)
    return (
        f"Not fit at {found.name} ({broken}). With its site file every answer is “cannot say: not fit at {found.name}”."
    )


def _provisos(found: Commissioning) -> Bullets | None:
    items = []
    healthy, ill = int(found.answers.healthy.sum()), int(found.answers.ill.sum())
    if found.provisional:
        items.append(f"Provisional: {healthy} healthy images, fewer than {found.rule.provisional_below}.")
    if not ill:
        items.append("Sensitivity not checked here: there is no image of an illness that the bundle answers.")
    if found.reference is None:
        items.append(
            "The bundle has no facts about its own hospitals, so distances and the cost of a threshold are unknown."
        )
    elif not found.reference.left_out:
        items.append(
            "The bundle's scores of ill patients are not of hospitals left out of training: the cost of a threshold "
            "at a new hospital may be higher."
        )
    return Bullets(tuple(items), title="To know before signing", beware=True) if items else None


def _card(label: str, share: Share, found: Commissioning, *, lower: bool = False) -> Card:
    if not share.total:
        return Card(label, "not checked", "no such image", word=True)
    level = f"{found.rule.confidence:.0%}"
    end = (
        f"at least {percent(share.lower(found.rule.confidence))}"
        if lower
        else f"at most {percent(share.upper(found.rule.confidence))}"
    )
    return Card(label, percent(share.value), f"{share.count} of {share.total}; {end} with {level} confidence")


def _mark(holds: bool) -> Cell:
    return Cell("yes" if holds else "no", mark="good" if holds else "bad")


def _images(found: Commissioning) -> Section:
    table, left_out = found.answers.table, found.manifest.quarantine
    labels = {str(name) or "without label": int(count) for name, count in table["label"].value_counts().items()}
    rows = [
        ("Images found", f"{found.manifest.found:,}"),
        ("Answered", f"{len(table):,}: {counts(labels)}"),
        ("Answers", counts(found.used.rates.answers)),
        ("Unreadable by the network", f"{len(found.answers.failures):,}"),
    ]
    reasons = left_out["code"].value_counts().to_dict()
    rows.append(("Left out", counts({str(code): int(n) for code, n in reasons.items()}) or "none"))
    first = left_out.groupby("code")["reason"].first()
    return Section(
        "images",
        "Images",
        flatten(
            Pairs(tuple(rows)),
            Bullets(tuple(f"{code}: {reason}" for code, reason in first.items())) if len(first) else None,
        ),
    )


def _thresholds(found: Commissioning) -> Section:
    rows = [_candidate_row(one, found) for one in found.candidates]
    trials = [
        cells(f"offset by the {one.name}", "", _percent(one.false_positives), percent(one.sensitivity), "",
              Cell("kept" if one.kept else "not kept"))
        for one in found.trials
    ]  # fmt: skip
    head = ("answers with", "threshold", "healthy called ill", "sensitivity elsewhere", "cannot say", "")
    notes: list[Block] = []
    if found.in_folds is not None:
        notes.append(
            Text(
                f"In {found.rule.folds} folds, each judged by a threshold chosen without it: "
                f"{_percent(found.in_folds)} of the healthy called ill.", "soft",
            )
        )  # fmt: skip
    notes.append(
        Text(
            "Thresholds are log odds of being ill; 0 is the bundle's own. An offset is kept only where false positives "
            "fall in folds and sensitivity elsewhere does not; the network is never changed.", "soft",
        )
    )  # fmt: skip
    caption = "What was tried, the bundle as it ships first"
    blocks: list[Block] = [Table(caption, head, (*rows, *trials)), *notes]
    if found.figures:
        blocks.append(Pairs(tuple(_figure_rows(found.figures))))
    else:
        blocks.append(
            Text(f"AUROC and calibration are given from {found.rule.auroc_from} labelled images of both kinds.", "soft")
        )
    return Section("thresholds", "Thresholds", tuple(blocks))


def _candidate_row(one: Candidate, found: Commissioning) -> tuple[Cell, ...]:
    rates: Rates = one.rates
    moved = one.correction.threshold - one.correction.constant
    elsewhere = found.reference.sensitivity(moved) if found.reference else None
    used = "in use" if one is found.used and found.verdict != "not-fit" else "fit" if one.fit else "not fit"
    name = "the bundle as it ships" if one.name == "shipped" else "the threshold of this hospital"
    return cells(
        Cell(name), f"{one.correction.threshold:+.2f}", _percent(rates.false_positives), percent(elsewhere),
        _percent(rates.cannot_say), Cell(used, mark="good" if used == "in use" else ""),
    )  # fmt: skip


def _figure_rows(figures: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    names = {"auroc": "AUROC, ill against healthy", "ece": "Calibration error (ECE)"}
    return [(names[name], with_span(figure)) for name, figure in figures.items()]


def _percent(share: Share) -> str:
    return f"{percent(share.value)} ({share.count}/{share.total})" if share.total else "–"


def _where(found: Commissioning) -> list[Section]:
    blocks: list[Block] = []
    if found.distances:
        rows = tuple(cells(name, f"{away:.2f}", f"{chance:.2f}") for name, (away, chance) in found.distances.items())
        caption = (
            "Distance of this hospital's features from the healthy of each training source, in standard deviations"
        )
        blocks.append(Table(caption, ("source", "distance", "by chance alone"), rows))
    if found.kinds:
        rows = tuple(
            cells(f"{one.attribute}: {one.group}", _percent(one.false_positives), _percent(one.cannot_say))
            for one in found.kinds
        )
        blocks.append(Table("By kind of picture", ("kind", "healthy called ill", "cannot say"), rows))
    return [Section("pictures", "Which pictures", tuple(blocks))] if blocks else []


def _doubtful(found: Commissioning) -> list[Section]:
    if not found.doubtful:
        return []
    rows = tuple(cells(image, label, percent(ill)) for image, label, ill in found.doubtful[:LISTED])
    more = len(found.doubtful) - len(rows)
    text = (
        "The network contradicts these labels with confidence. A radiologist should look: the label may be wrong, or "
        f"the network is.{f' {more} more are not listed.' if more else ''}"
    )
    caption = f"{len(found.doubtful)} of {len(found.answers.table)} images"
    return [
        Section("look", "Look at these", (Text(text), Table(caption, ("image", "label", "P(ill)"), rows, words=True)))
    ]


def _previous(found: Commissioning, site: Site) -> list[Section]:
    before = found.previous
    if before is None:
        return []
    same = before.bundle_sha256 == site.bundle_sha256
    rows = [cells("verdict", VERDICTS[before.verdict], VERDICTS[found.verdict])]
    for key, name in (
        ("false_positives", "healthy called ill"), ("cannot_say", "cannot say"), ("sensitivity", "ill called ill"),
    ):  # fmt: skip
        shares = [Share(one["count"], one["of"]) for one in (before.facts["counts"][key], site.facts["counts"][key])]
        rows.append(cells(name, *map(_percent, shares)))
    texts = [f"{one.correction.threshold:+.2f}" for one in (before, site)]
    rows.append(cells("threshold", *texts))
    text = "The bundle is the same." if same else "The bundle is another one than at the last check."
    return [Section("before", "The check before", (Text(text), Table("", ("", "before", "now"), tuple(rows))))]


def _about(found: Commissioning) -> Section:
    rule = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in found.rule.model_dump().items())
    return Section(
        "about",
        "Rule",
        (
            Pairs(
                (
                    ("Rule", rule),
                    ("Made", date.today().isoformat()),
                )
            ),
            Text(
                "Bounds are exact (Clopper-Pearson, one-sided). The threshold of a hospital is a high score of its own "
                "healthy: whatever the distribution, at most the stated share of further healthy images of the same "
                "kind pass it, with the stated confidence. This test says nothing of other hospitals, other devices "
                "or another patient mix, and does not make the network a medical device.", "soft",
            ),
        ),
    )  # fmt: skip


def write_site_folder(found: Commissioning, predictor: Predictor, folder: Path, *, signed_by: str | None) -> Site:
    """Write `report.html`, `report.pdf` and, last, `site.json` into `folder`.

    Args:
        found: at the hospital.
        predictor: of the bundle that was checked.
        folder: for the files; an earlier check in it is replaced.
        signed_by: who vouches for the check; `None` leaves a line to sign on.
    """
    site = make_site(site_facts(found, predictor, signed_by=signed_by))
    about = {"title": title(found), "model": predictor.identity.as_dict()}
    parts = sections(found, site)
    write_text(folder / "report.html", report_html(about, parts=parts, kind=KIND))
    with replacing(folder / "report.pdf") as temporary:
        temporary.write_bytes(report_pdf(about, parts=parts, kind=KIND))
    write_site(folder / SITE_FILE, site)
    return site
