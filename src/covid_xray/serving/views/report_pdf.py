"""Write the report of a study as PDF (A4): radiograph, heat map, numbers and warnings.

The standard fonts of PDF have Latin letters only; others become question marks.
"""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from covid_xray.inference.finding import site_in_words
from covid_xray.inference.heatmap import DISCLAIMER
from covid_xray.inference.opacity import opacity_in_words
from covid_xray.serving.views import drawings
from covid_xray.serving.views.clinical_view import joint_view
from covid_xray.serving.views.rendering import display_name, sentence
from covid_xray.serving.views.study_view import StudyWarning
from covid_xray.store.records import Study
from covid_xray.store.store import Store

if TYPE_CHECKING:
    from reportlab.platypus import Flowable

_LONGEST = 1200  # pixels: 300 dpi at a height of four inches
_SIDE = 240.0  # points: two pictures side by side


def report_pdf(store: Store, study: Study, *, warnings: Sequence[StudyWarning] = ()) -> bytes:
    """Write the report of one study with the warnings of `study_view.warnings`. Raises `NotFound`."""
    from reportlab.lib.pagesizes import A4
    from reportlab.platypus import SimpleDocTemplate

    stream = io.BytesIO()
    margins = {"leftMargin": 50, "rightMargin": 50, "topMargin": 60, "bottomMargin": 60}
    about = {"title": f"covid-xray {study.id}", "author": "covid-xray", "lang": "en"}
    # invariant: the same study gives the same bytes
    document = SimpleDocTemplate(stream, pagesize=A4, invariant=1, **margins, **about)
    document.build(_story(store, study, warnings), onFirstPage=_frame, onLaterPages=_frame)
    return stream.getvalue()


def _story(store: Store, study: Study, warnings: Sequence[StudyWarning]) -> "list[Flowable]":
    from reportlab.lib.styles import getSampleStyleSheet
    from reportlab.platypus import Paragraph, Spacer

    styles = getSampleStyleSheet()
    shown = drawings.most_probable(study)
    story: list[Flowable] = [Paragraph(_text(display_name(study.label)), styles["Title"])]
    story += [Paragraph(_text(sentence(reason)), styles["Normal"]) for reason in study.finding["reasons"]]
    story += [Paragraph(f"<b>{_text(it.title)}</b> {_text(it.text)}", styles["Normal"]) for it in warnings]
    story += [Spacer(0, 10), _pictures(store, study, shown), Spacer(0, 10), _probabilities(study), Spacer(0, 10)]
    story += _joint(study)
    story += [Paragraph(line, styles["Normal"]) for line in _lines(store, study, shown)]
    return story


def _pictures(store: Store, study: Study, shown: str) -> "Flowable":
    from reportlab.platypus import Image, Table

    images = [
        drawings.image_png(store, study, longest=_LONGEST),
        drawings.heatmap_png(store, study, shown=shown, form="overlay", longest=_LONGEST),
    ]
    cells = [Image(io.BytesIO(image), width=_SIDE, height=_SIDE, kind="proportional") for image in images]
    return Table([cells], colWidths=[_SIDE + 6] * 2, style=[("VALIGN", (0, 0), (-1, -1), "TOP")])


def _probabilities(study: Study) -> "Flowable":
    from reportlab.lib import colors
    from reportlab.platypus import Table

    rows: list[list[str]] = [["class", "probability", "in the prediction set", "operating points reached"]]
    kept = study.finding["prediction_set"]
    for name, value in study.probabilities.items():
        reached = (study.finding["operating_points"] or {}).get(name) or {}
        rows.append(
            [
                _latin(display_name(name)),
                "no number" if value is None else f"{value:.1%}",
                "not calibrated" if kept is None else "yes" if name in kept else "no",
                ", ".join(point for point, passed in reached.items() if passed) or "none",
            ]
        )
    style: list[Any] = [
        ("GRID", (0, 0), (-1, -1), 0.5, colors.grey),
        ("BACKGROUND", (0, 0), (-1, 0), colors.whitesmoke),
        ("FONTNAME", (0, 0), (-1, 0), "Helvetica-Bold"),
        ("FONTSIZE", (0, 0), (-1, -1), 9),
    ]
    return Table(rows, style=style, hAlign="LEFT")


def _joint(study: Study) -> "list[Flowable]":
    """Describe the answer with clinical values, if there is one."""
    from reportlab.lib.styles import getSampleStyleSheet
    from reportlab.platypus import Paragraph, Spacer

    joint = joint_view(study)
    if joint is None:
        return []
    shares = ", ".join(f"{_text(display_name(pair.name))} {pair.both:.1%}" for pair in joint.pairs)
    effects = ", ".join(f"{_text(it.title)} ({_text(it.value)}) {100 * it.by:+.1f}" for it in joint.contributions)
    lines = [
        f"<b>With clinical values: {_text(display_name(joint.label))}</b> ({shares})",
        *map(_text, joint.reasons),
        f"Effect on {_text(display_name(joint.leads))} in percentage points: {effects}" if effects else "",
        *(f"{_text(title)} has no effect: {_text(reason)}" for title, reason in joint.unused),
        *map(_text, joint.remarks),
    ]
    style = getSampleStyleSheet()["Normal"]
    return [*(Paragraph(line, style) for line in lines if line), Spacer(0, 10)]


def _lines(store: Store, study: Study, shown: str) -> list[str]:
    model = study.model
    facts = [
        f"Heat map of {_text(display_name(shown))}: brighter areas raised the score more. It does not locate disease.",
        _text(study.finding["lungs_in_words"]),
        _text(opacity_in_words((study.finding.get("lungs") or {}).get("opaque_roughly"))),
        f"File: {_text(study.name)}; stored {study.created:%Y-%m-%d %H:%M} UTC; {study.width} x {study.height} pixels.",
        f"Network: {_text(model.name)} {_text(model.version)}, SHA-256 {model.sha256}.",
        _text(sentence(site_in_words(study.finding.get("site")))),
        *(
            f"Feedback by {_text(it.reader)}, {it.created:%Y-%m-%d %H:%M} UTC: {it.verdict}"
            f"{f', {_text(it.label)}' if it.label else ''}{f'. {_text(it.note)}' if it.note else ''}"
            for it in store.feedback(study.id)
        ),
    ]
    return [fact for fact in facts if fact]


def _frame(canvas: Any, document: Any) -> None:
    """Draw the header and footer of a page."""
    width, height = document.pagesize
    canvas.saveState()
    canvas.setFont("Helvetica-Bold", 10)
    canvas.drawString(50, height - 40, "covid-xray")
    canvas.drawRightString(width - 50, height - 40, DISCLAIMER)
    canvas.setFont("Helvetica", 8)
    canvas.drawString(50, 35, f"Study {document.title.rpartition(' ')[2]}")
    canvas.drawRightString(width - 50, 35, f"{DISCLAIMER}; page {document.page}")
    canvas.restoreState()


def _latin(text: str) -> str:
    return text.encode("cp1252", errors="replace").decode("cp1252")


def _text(text: str) -> str:
    """Escape text for the markup of reportlab."""
    from xml.sax.saxutils import escape

    return escape(_latin(text)).replace("\n", "<br/>")
