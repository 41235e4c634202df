"""The page stands alone, escapes what the data say, and shows numbers for people."""

import json
from dataclasses import replace

import numpy as np

from covid_xray.data.doctor.doctor import examine, write_diagnosis
from covid_xray.data.doctor.doctor_page import page, shown
from support.reports import EVIL, Page
from support.spoilt import I, N, clean


def test_page_stands_alone_and_escapes_what_the_data_say(tmp_path):
    manifest, facts = clean(label=np.where(I % 2, "covid", "<script>alert(1)</script>"), width="", height="1")
    written = write_diagnosis(examine(manifest, title="a <b> set", pixels=facts), tmp_path)
    data, html = json.loads(written[0].read_text()), written[1].read_text()
    assert "<script" not in html
    assert "a &lt;b&gt; set" in html
    assert "http" not in html.replace("http-equiv", "")
    assert data["facts"]["images"] == N
    assert sum(data["verdicts"].values()) == len(data["pitfalls"])
    for pitfall in data["pitfalls"]:
        assert f'id="{pitfall["name"]}"' in html
    assert next(p for p in data["pitfalls"] if p["name"] == "class-and-original-size")["number"] is None


def test_hostile_names_and_labels_are_shown_as_text(tmp_path):
    """Every text that a data set brings: labels, sources, names of files, the title."""
    manifest, facts = clean(width="", height="1")
    names = [EVIL.replace("/", "") + f"{i}.png" for i in range(N)]
    manifest = replace(
        manifest,
        table=manifest.table.assign(
            image=names, label=np.where(I % 2, "covid", EVIL), source=np.where(I % 3, EVIL, "b"), pixels_sha256="same"
        ),
    )
    facts = replace(facts, table=facts.table.set_axis(names))
    diagnosis = json.loads(write_diagnosis(examine(manifest, title=EVIL, pixels=facts), tmp_path)[0].read_text())
    assert EVIL in diagnosis["facts"]["class_by_source"]
    found = Page(page(diagnosis))
    assert "script" not in found.tags
    assert "img" not in found.tags
    assert "onerror" not in found.attributes
    assert found.words.count("alert(2)") >= 10
    assert EVIL.replace("/", "") + "0.png" in found.words, "a file's name, as it is"


def test_every_text_of_the_page_is_escaped(tmp_path):
    def spoilt(value, key=""):
        if isinstance(value, dict):
            grid = key in ("class_by_source", "pairs_of_one_radiograph")
            return {EVIL if grid else name: spoilt(part, name) for name, part in value.items()}
        if isinstance(value, list):
            return [spoilt(part) for part in value]
        return EVIL if isinstance(value, str) and key != "verdict" else value

    manifest, facts = clean(width="", height="1")
    diagnosis = json.loads(write_diagnosis(examine(manifest, title="x", pixels=facts), tmp_path)[0].read_text())
    found = Page(page(spoilt(diagnosis)))
    assert not {"script", "img"} & set(found.tags)
    assert "onerror" not in found.attributes
    assert found.words.count(EVIL) >= 3 * len(diagnosis["pitfalls"])
    assert "49" not in found.words.replace(EVIL, "").split(), "a template in a name is not run"


def test_numbers_for_people():
    assert [shown(v) for v in (None, 3.0, 1234.0, 0.256, 0.0)] == ["not known", "3", "1,234", "0.26", "0"]
