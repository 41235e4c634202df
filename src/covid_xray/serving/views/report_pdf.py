"""Write the report of a study as PDF (A4) in the language of the request: the answer first, pictures, numbers, facts.

"Cannot say" has no class, percentage or heat map. The disclaimer stands on every page.
"""

import io
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from covid_xray.serving.views import drawings, languages, report_fonts
from covid_xray.serving.views.clinical_view import joint_view
from covid_xray.serving.views.languages import gettext, moment
from covid_xray.serving.views.phrases import display_name, opacity_words, words
from covid_xray.serving.views.reading import Reading, reading
from covid_xray.serving.views.rendering import disclaimer_text, percent, sentence
from covid_xray.serving.views.study_view import StudyWarning, bars
from covid_xray.store.records import Study
from covid_xray.store.store import Store

if TYPE_CHECKING:
    from reportlab.platypus import Flowable

_LONGEST = 1200  # pixels: 300 dpi at a height of four inches
_SIDE = 240.0  # points: two pictures side by side
_MARGIN, _WIDTH = 50.0, 495.0  # points, of A4
_SIZE = 9.5


def report_pdf(store: Store, study: Study, *, warnings: Sequence[StudyWarning] = ()) -> bytes:
    """Write the report of one study with the warnings of `study_view.warnings`. Raises `NotFound`."""
    from reportlab.lib.pagesizes import A4
    from reportlab.platypus import SimpleDocTemplate

    stream = io.BytesIO()
    margins = {"leftMargin": _MARGIN, "rightMargin": _MARGIN, "topMargin": 60, "bottomMargin": 60}
    about = {"title": f"covid-xray {study.id}", "author": "covid-xray", "lang": languages.current().code}
    # invariant: the same study gives the same bytes
    document = SimpleDocTemplate(stream, pagesize=A4, invariant=1, **margins, **about)
    frame = partial(_frame, study=study)
    document.build(_story(store, study, warnings), onFirstPage=frame, onLaterPages=frame)
    return stream.getvalue()


def _story(store: Store, study: Study, warnings: Sequence[StudyWarning]) -> "list[Flowable]":
    from reportlab.platypus import Spacer

    read = reading(study)
    story = [_text(read.headline, size=20), Spacer(0, 4), *_first(read), Spacer(0, 4)]
    story += [_text(f"{it.title}: {it.text.replace('`', '')}") for it in warnings]
    story += [Spacer(0, 10), _pictures(store, study, read), Spacer(0, 10)]
    if read.cannot_say:
        story.append(_text(gettext("Numbers and heat map are left out, since the network gives no answer.")))
    else:
        story.append(_probabilities(study))
    story += [Spacer(0, 10), *_joint(study)]
    return [*story, *(_text(line) for line in _lines(store, study, read))]


def _first(read: Reading) -> "list[Flowable]":
    lines = [read.decision, *(f"• {reason}" for reason in read.reasons)]
    if read.steps:
        lines += [f"{gettext('What to do next')}:", *(f"• {step}" for step in read.steps)]
    return [_text(line) for line in (*lines, read.scope, read.site)]


def _pictures(store: Store, study: Study, read: Reading) -> "Flowable":
    from reportlab.platypus import Image, Table

    images = [drawings.image_png(store, study, longest=_LONGEST)]
    if not read.cannot_say:
        shown = drawings.most_probable(study)
        images.append(drawings.heatmap_png(store, study, shown=shown, form="overlay", longest=_LONGEST))
    cells = [Image(io.BytesIO(image), width=_SIDE, height=_SIDE, kind="proportional") for image in images]
    return Table([cells], colWidths=[_SIDE + 6] * len(cells), style=[("VALIGN", (0, 0), (-1, -1), "TOP")])


def _probabilities(study: Study) -> "Flowable":
    from reportlab.lib import colors
    from reportlab.platypus import Table

    head = [gettext("Answer"), gettext("Probability"), gettext("In the prediction set"), gettext("Thresholds")]
    rows = [head]
    for bar in bars(study):
        kept = gettext("not calibrated") if bar.kept is None else gettext("yes") if bar.kept else gettext("no")
        marks = ", ".join(mark.verdict for mark in bar.marks if mark.name != "balanced") or "–"
        rows.append([display_name(bar.name), percent(bar.probability), kept, marks])
    rows = [row[::-1] for row in rows] if _is_rtl() else rows
    widths = [110.0, 105.0, 115.0, 165.0]
    style: list[Any] = [("GRID", (0, 0), (-1, -1), 0.5, colors.grey), ("VALIGN", (0, 0), (-1, -1), "TOP")]
    style.append(("BACKGROUND", (0, 0), (-1, 0), colors.whitesmoke))
    widths = widths[::-1] if _is_rtl() else widths
    cells = [[_text(cell, width=width - 12) for cell, width in zip(row, widths, strict=True)] for row in rows]
    return Table(cells, colWidths=widths, style=style)


def _joint(study: Study) -> "list[Flowable]":
    """Describe the answer with clinical values, if there is one."""
    from reportlab.platypus import Spacer

    joint = joint_view(study)
    if joint is None:
        return []
    lines = [f"{gettext('With clinical values')}: {joint.headline}", *(sentence(words(it)) for it in joint.reasons)]
    if not joint.cannot_say:
        lines.append(", ".join(f"{display_name(pair.name)} {percent(pair.both)}" for pair in joint.pairs))
        effects = ", ".join(f"{it.title} ({it.value}) {100 * it.by:+.1f}" for it in joint.contributions)
        title = gettext("Effect of each value on %(name)s", name=display_name(joint.leads))
        lines.append(f"{title}: {gettext('%(points)s points', points=effects)}" if effects else "")
    lines += [f"{gettext('%(field)s has no effect', field=title)}: {words(why)}" for title, why in joint.unused]
    lines += [words(remark) for remark in joint.remarks]
    return [*(_text(line) for line in lines if line), Spacer(0, 10)]


def _lines(store: Store, study: Study, read: Reading) -> list[str]:
    model, lungs = study.model, study.finding.get("lungs") or {}
    facts = [
        gettext("File: %(name)s", name=study.name),
        f"{gettext('Received')}: {moment(study.created)}, {_zone()}",
        f"{gettext('Picture')}: {study.width} × {study.height}",
        f"{gettext('Network')}: {model.name} {model.version}, SHA-256 {model.sha256}",
        *(_feedback(it) for it in store.feedback(study.id)),
    ]
    if not read.cannot_say:
        name = display_name(drawings.most_probable(study))
        text = gettext(
            "Heat map of %(name)s: brighter areas raised the score more. It does not locate disease.", name=name
        )
        opaque = opacity_words(lungs.get("opaque_roughly"))
        facts = [text, sentence(opaque) if opaque else "", *facts]
    return [fact for fact in facts if fact]


def _feedback(it: Any) -> str:
    verdicts = {"agree": gettext("agrees"), "disagree": gettext("disagrees"), "correct": gettext("corrects it to")}
    right = f" {display_name(it.label)}" if it.label else ""
    note = f". {it.note}" if it.note else ""
    return f"{it.reader} ({moment(it.created)}) {verdicts[it.verdict]}{right}{note}"


def _frame(canvas: Any, document: Any, *, study: Study) -> None:
    """Draw the header and footer of a page."""
    width, height = document.pagesize
    draw = partial(report_fonts.draw_line, canvas, rtl=_is_rtl())
    canvas.saveState()
    draw("covid-xray", at=(_MARGIN, height - 40), size=10, align="left")
    draw(disclaimer_text(), at=(width - _MARGIN, height - 40), size=10, align="right")
    draw(f"{gettext('Study')} {study.id}", at=(_MARGIN, 35), size=8, align="left")
    page = gettext("page %(number)s", number=document.page)
    draw(f"{disclaimer_text()} {page}", at=(width - _MARGIN, 35), size=8, align="right")
    if not languages.reviewer(languages.current().code):
        unreviewed = gettext("This translation was not reviewed by a clinician. In doubt the English text holds.")
        draw(unreviewed, at=(width - _MARGIN, 23), size=7, align="right")
    canvas.restoreState()


def _text(text: str, *, size: float = _SIZE, width: float = _WIDTH) -> "Flowable":
    from reportlab.lib.enums import TA_LEFT, TA_RIGHT
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.platypus import Paragraph

    rtl, font = _is_rtl(), report_fonts.register()[0]
    style = ParagraphStyle(
        "text",
        fontName=font,
        fontSize=size,
        leading=1.35 * size,
        alignment=TA_RIGHT if rtl else TA_LEFT,
        wordWrap="CJK" if languages.current().code == "zh" else None,
    )
    return Paragraph(report_fonts.markup(text, width=width - 4, size=size, rtl=rtl), style)


def _is_rtl() -> bool:
    return languages.current().direction == "rtl"


def _zone() -> str:
    return getattr(languages.zone(), "key", "UTC")
