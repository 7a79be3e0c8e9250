"""Reading a page: with the standard library's parser, and its tables as texts."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Elements (tag, attributes, text) in the order of their ends; complains where tags are not balanced."""

    def __init__(self, text):
        super().__init__()
        self.elements, self._open = [], []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attrs):
        element = [tag, dict(attrs), ""]
        if tag in VOID:
            self.elements.append(element)
        else:
            self._open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.elements.append([tag, dict(attrs), ""])

    def handle_data(self, data):
        for element in self._open:
            element[2] += data

    def handle_endtag(self, tag):
        element = self._open.pop()
        assert element[0] == tag, f"</{tag}> ends <{element[0]}>"
        self.elements.append(element)

    def all(self, tag, **attributes):
        """Elements of this tag that have these attributes."""
        return [e for e in self.elements if e[0] == tag and all(e[1].get(k) == v for k, v in attributes.items())]


def rows(text, name):
    """The cells' texts of the table called ``name``, row by row."""
    body = re.search(rf'id="{name}".*?<tbody>(.*?)</tbody>', text, re.DOTALL)[1]
    plain = [
        re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in re.findall(r"<tr>.*?</tr>", body, re.DOTALL)
    ]
    return [[unescape(re.sub(r"<[^>]*>", "", cell.replace("<br>", " "))).strip() for cell in row] for row in plain]


def resolve(content, pointer):
    """RFC 6901."""
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        content = content[int(key)] if isinstance(content, list) else content[key]
    return content
