"""Render the doctor's JSON as a self-contained HTML page."""

from typing import Any

TEMPLATE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Data doctor: {{ title }}</title>
<style>
:root { color-scheme: light dark; --line: #8884; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.lead { font-size: 1.05rem; } .muted { opacity: .75; }
table { border-collapse: collapse; width: 100%; } .scroll { overflow-x: auto; }
th, td { text-align: left; vertical-align: top; padding: .45rem .6rem; border-bottom: 1px solid var(--line); }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.badge { display: inline-block; min-width: 3.2rem; text-align: center; border-radius: .3rem; padding: 0 .4rem;
  font-weight: 600; color: #fff; }
.FAIL { background: #b3261e; } .WARN { background: #8a5a00; } .PASS { background: #1b6e3c; }
.banner { border-left: .4rem solid #b3261e; padding: .6rem 1rem; background: #b3261e1a; margin: 1rem 0; }
details { margin-top: .3rem; } code { overflow-wrap: anywhere; font-size: .88em; }
</style></head><body>
<h1>Data doctor: {{ title }}</h1>
<p class="muted">covid-xray {{ covid_xray }} · research use, not for diagnosis</p>
<p class="lead">{{ number(facts.images) }} images ({{ number(facts.quarantined) }} more in quarantine) show
{{ number(facts.radiographs) }} distinct radiographs of at most {{ number(facts.people_at_most) }} people.
{% if not facts.near_copies_searched %}Near copies were not searched.{% endif %}</p>
<p>{% for verdict, n in verdicts.items() | reverse %}
<span class="badge {{ verdict }}">{{ verdict }}</span> {{ n }} &ensp;
{% endfor %}</p>
{% if verdicts.FAIL %}
<p class="banner"><strong>A score on these data means little as it stands.</strong>
{{ verdicts.FAIL }} {{ "checks fail" if verdicts.FAIL > 1 else "check fails" }}; each says below what to do.</p>
{% endif %}
<h2>Pitfalls</h2>
<div class="scroll"><table>
<tr><th>Verdict</th><th>Question and answer</th><th class="n">Number</th></tr>
{% for p in pitfalls %}<tr id="{{ p.name }}"><td><span class="badge {{ p.verdict }}">{{ p.verdict }}</span></td>
<td><strong>{{ p.question }}</strong><br>{{ p.says }}
{% if p.advice and p.verdict != "PASS" %}<br><em>{{ p.advice }}</em>{% endif %}
{% if p.examples %}<details><summary>{{ p.examples | length }} to look at</summary>
{% for example in p.examples %}<code>{{ example }}</code><br>{% endfor %}</details>{% endif %}</td>
<td class="n">{{ number(p.number) }}<br><span class="muted">{{ p.measure }}</span></td></tr>
{% endfor %}</table></div>
{% if facts.class_by_source is defined %}<h2>Images per class and source</h2>
{{ grid(facts.class_by_source) }}{% endif %}
{% if facts.pairs_of_one_radiograph is defined %}<h2>Pairs of images that show one radiograph, source by source</h2>
{{ grid(facts.pairs_of_one_radiograph) }}{% endif %}
<p class="muted">Fingerprint of the images and labels: <code>{{ facts.fingerprint }}</code></p>
</body></html>
"""
GRID = """<div class="scroll"><table><tr><th></th>
{% for name in columns %}<th class="n">{{ name }}</th>{% endfor %}</tr>
{% for name, row in table.items() %}<tr><th>{{ name }}</th>
{% for column in columns %}<td class="n">{{ number(row[column]) if row[column] else "·" }}</td>{% endfor %}</tr>
{% endfor %}</table></div>"""


def page(diagnosis: dict[str, Any]) -> str:
    """Render `doctor.as_json` as HTML; every value is escaped."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    grid = environment.from_string(GRID)

    def as_grid(table: dict[str, dict[str, int]]) -> Markup:
        columns = list(next(iter(table.values()), {}))
        return Markup(grid.render(table=table, columns=columns, number=shown))  # escaped above  # noqa: S704  # nosec B704

    text = environment.from_string(TEMPLATE)
    return text.render(**diagnosis, number=shown, grid=as_grid)


def shown(number: float | None) -> str:
    """Format a measure: whole counts with commas, shares and V with two digits, "not known" for null."""
    if number is None:
        return "not known"
    return f"{number:,.0f}" if float(number).is_integer() else f"{number:.2f}"
