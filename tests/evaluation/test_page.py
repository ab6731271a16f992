"""The page: every text as it was given, every number in its cell, every picture inside."""

import base64
from html.parser import HTMLParser

from fcn_tf.evaluation.page import Section, report_page


class Page(HTMLParser):
    """Reads a page back.

    Attributes:
        title, heading: the page's.
        lines: the paragraphs before the first section.
        sections: by heading a dict of its text, the head and the rows of its table, the bytes of
            its picture and what stands for the picture.
    """

    def __init__(self, page):
        super().__init__()
        self.title = self.heading = self._said = ""
        self.lines, self.sections = [], {}
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self._said = ""
        if tag == "tr":
            self._section["rows"].append([])
        if tag == "img":
            given = dict(attributes)
            kind, data = given["src"].split(",")
            assert kind == "data:image/png;base64"
            self._section |= {"picture": base64.b64decode(data), "alt": given["alt"]}

    def handle_data(self, data):
        self._said += data

    def handle_endtag(self, tag):
        if tag == "title":
            self.title = self._said
        elif tag == "h1":
            self.heading = self._said
        elif tag == "h2":
            self._section = self.sections[self._said] = {"head": [], "rows": []}
        elif tag == "p" and self.sections:
            self._section["text"] = self._said
        elif tag == "p":
            self.lines.append(self._said)
        elif tag == "th":
            self._section["head"].append(self._said)
        elif tag == "td":
            self._section["rows"][-1].append(self._said)


def test_a_page_is_read_back(tmp_path):
    (tmp_path / "a.png").write_bytes(b"a picture")
    page = report_page(
        'a<b> & "c"',
        ["<first>", "second &amp;"],
        [
            Section("Scores", "", [["", "A <%>"], ["<car>", "1.0"], ["sky", "2.0"]]),
            Section('What & "why" <1>', "Less < more.", tmp_path / "a.png"),
        ],
    )
    read = Page(page)
    assert read.title == read.heading == 'a<b> & "c"'
    assert read.lines == ["<first>", "second &amp;"]
    assert read.sections == {
        "Scores": {"head": ["", "A <%>"], "rows": [[], ["<car>", "1.0"], ["sky", "2.0"]]},
        'What & "why" <1>': {
            "head": [],
            "rows": [],
            "text": "Less < more.",
            "picture": b"a picture",
            "alt": 'What & "why" <1>',
        },
    }
