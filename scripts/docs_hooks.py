r"""Hooks of MkDocs: formulas become MathML while the site is built, so that pages need no script for them.

The Markdown extension arithmatex marks the formulas as `\( \)` and `\[ \]` in elements of the class "arithmatex".
"""

from __future__ import annotations

import html
import re
from typing import Any

from latex2mathml.converter import convert

_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', flags=re.DOTALL)
_NAVIGATION = "SUMMARY.md"


def on_page_content(content: str, **_: Any) -> str:
    """Return a page's HTML with its formulas as MathML."""
    return _FORMULA.sub(_mathml, content)


def on_nav(nav: Any, files: Any, **_: Any) -> Any:
    """Drop the lists from which the navigation was made; they are no pages."""
    for file in list(files.documentation_pages()):
        if file.src_uri.endswith(_NAVIGATION):
            files.remove(file)
    return nav


def _mathml(match: re.Match[str]) -> str:
    display = "block" if match[2] == "[" else "inline"
    return convert(html.unescape(match[3]).strip(), display=display)
