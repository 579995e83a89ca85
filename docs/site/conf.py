"""The pages as a site that can be searched: `make docs` builds it into build/site, and it asks no other host for anything.

Sphinx warns of a link that leads nowhere and of a page that stands in no part below; `make docs` takes a warning for an error.
"""

import re
from functools import cache
from posixpath import basename, dirname
from typing import Any, Final

from sphinx.application import Sphinx
from sphinx.search.en import SearchEnglish

_PARTS = {
    "Begin": [
        "docs/tutorial",
        "docs/howto/debian-package",
        "docs/howto/which-check-when",
        "docs/howto/typical-mistakes",
        "docs/howto/console",
        "docs/howto/hospital-login",
    ],
    "Connect and route": [
        "docs/howto/connect-a-pacs",
        "docs/howto/change-the-configuration",
        "docs/howto/change-routes",
        "docs/howto/choose-what-a-sink-gets",
        "docs/howto/storage-commitment",
        "docs/reference/what-readers-see",
    ],
    "What is held, parked or withdrawn": [
        "docs/howto/short-series",
        "docs/howto/held-instances",
        "docs/howto/mend-a-parked-job",
        "docs/howto/withdraw-results",
        "docs/howto/be-told",
        "docs/howto/traces",
    ],
    "Keep and protect": [
        "docs/howto/durability",
        "docs/howto/secure-the-node",
        "docs/howto/encrypt-at-rest",
        "docs/howto/audit",
        "docs/howto/erase-a-patient",
        "docs/howto/back-up-and-restore",
        "docs/howto/upgrade",
        "docs/howto/many-nodes",
        "docker/README",
        "SECURITY",
    ],
    "Models and training": [
        "docs/howto/bring-a-model",
        "docs/howto/describe-a-model",
        "docs/howto/import-nnunet",
        "docs/howto/call-a-model",
        "docs/howto/acceptance-test",
        "docs/howto/run-on-triton",
        "docs/howto/write-an-application",
        "docs/howto/train-a-model",
        "docs/howto/train-on-your-own-studies",
        "docs/howto/train-on-other-layouts",
        "docs/howto/train-a-classifier",
        "docs/howto/train-a-regression",
        "docs/howto/train-on-several-series",
        "docs/howto/few-labels",
        "docs/howto/several-hospitals",
        "docs/howto/prognosis",
        "docs/howto/train-a-detector",
        "docs/howto/chest-xray",
        "docs/howto/brain-structures",
        "docs/howto/fundus-vessels",
        "docs/howto/run-a-container",
        "docs/howto/breast-ultrasound",
        "docs/howto/head-bleed",
        "docs/howto/left-ventricle",
        "docs/howto/cardiac-phase",
        "docs/howto/lung-nodule",
        "docs/howto/mr-glioma",
        "docs/howto/nodule-data",
        "docs/howto/restore",
    ],
    "Reference": ["docs/reference/*", "docs/conformance", "CHANGELOG"],
    "How it is made": ["docs/glossary", "docs/howto/extend", "docs/performance", "docs/crash-matrix", "docs/adr/*"],
}
"""Captions of the navigation, and the pages below each."""

_FOLDER = re.compile(r"\[([^\]]+)\]\([^)#]*/\)")

project = "hilum"
author = "the authors of hilum"
project_copyright = "the authors of hilum, Apache-2.0"
extensions = ["myst_parser"]
root_doc = "README"
include_patterns = ["*.md", "docker/README.md", "docs/*.md", "docs/**/*.md"]
exclude_patterns = [".*", "build", "dist", "var", "CONTRIBUTING.md"]
source_suffix = {".md": "markdown"}
# a heading is linked to by its words, as where the pages are read in the repository
myst_heading_anchors = 4
templates_path = ["."]
html_theme = "furo"
html_title = "hilum"
html_additional_pages = {"index": "redirect.html"}
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False


def _read(_app: object, page: str, text: list[str]) -> None:
    """Leave of links to folders, which are no pages, their names; give the README what stands at the left of all."""
    text[0] = _FOLDER.sub(r"\1", text[0])
    if page == root_doc:
        trees = (f"```{{toctree}}\n:hidden:\n:glob:\n:caption: {caption}\n\n" + "\n".join(pages) for caption, pages in _PARTS.items())
        text[0] += "".join(f"\n\n{tree}\n```\n" for tree in trees)


_OPEN, _OPEN_HERE = "<ul>", '<ul class="current">'
_NAVIGATION = "furo_navigation_tree"
_OF_FOLDER: dict[str, str] = {}


def _entry(page: str) -> str:
    return f'<li class="toctree-l1"><a class="reference internal" href="{basename(page)}.html">'


def _entry_here(classes: str) -> str:
    return f'<li class="toctree-l1{classes}"><a class="current reference internal" href="#">'


def _hand_one_tree(_app: object, page: str, _template: str, context: dict[str, Any], _tree: object) -> None:
    """Give the theme one navigation for all pages of a folder, whose links are the same: one for each page took half of the build."""
    made = context["toctree"]

    def tree(**asked: Any) -> str:
        folder = dirname(page)
        if folder not in _OF_FOLDER:
            _OF_FOLDER[folder] = made(**asked).replace(_OPEN_HERE, _OPEN).replace(_entry_here(" current"), _entry(page))
        return _OF_FOLDER[folder]

    context["toctree"] = tree


def _mark_page(_app: object, page: str, _template: str, context: dict[str, Any], _tree: object) -> None:
    """Mark the page in the navigation, as Sphinx and the theme would have."""
    before, entry, after = context[_NAVIGATION].partition(_entry(page))
    if entry:
        before, opened, between = before.rpartition(_OPEN)
        context[_NAVIGATION] = before + _OPEN_HERE * bool(opened) + between + _entry_here(" current current-page") + after


class SearchCodes(SearchEnglish):
    """English in which a code such as HLM-3033 is one word: it is what people look for at night."""

    # per page, as Sphinx keeps them, most words are stemmed anew
    stem = cache(SearchEnglish.stem)

    _WORD: Final = re.compile(r"HLM-\d{4}|\w+", re.IGNORECASE)
    js_splitter_code = r"var splitQuery = (query) => query.match(/HLM-\d{4}|[\p{Letter}\p{Number}_]+/giu) ?? [];"

    def split(self, input: str) -> list[str]:
        """Give the words of a text, in its order."""
        return self._WORD.findall(input)


def setup(app: Sphinx) -> None:
    """Register with Sphinx."""
    app.connect("source-read", _read)
    # the theme reads the tree at 500
    app.connect("html-page-context", _hand_one_tree, priority=400)
    app.connect("html-page-context", _mark_page, priority=600)
    app.add_search_language(SearchCodes)
