"""The page stands alone, escapes what the data say, and shows numbers for people."""

import json

import numpy as np

from covid_xray.data.doctor import examine, write_diagnosis
from covid_xray.data.doctor_page import shown
from spoilt import I, N, clean


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


def test_numbers_for_people():
    assert [shown(v) for v in (None, 3.0, 1234.0, 0.256, 0.0)] == ["not known", "3", "1,234", "0.26", "0"]
