"""A study of which every element of text carries a mark: no page and no call tells any of it to who may not see patients."""

import re

import pytest
from pydicom.datadict import dictionary_VR, keyword_dict

from node.domain.instance import Header
from tests.unit.cli.conftest import Hospital
from tests.unit.console.conftest import browsers
from tests.unit.console.test_roles import LEAST, VALUES

MARK = "ZORRO"
STUDY = "1.2.77"
_TEXT = {"AE", "AS", "LO", "LT", "PN", "SH", "ST", "UC", "UT", "UR"}
_MARKED: Header = {
    **{keyword: (f"T1 {MARK} {keyword}"[:60],) for keyword, tag in sorted(keyword_dict.items()) if keyword and dictionary_VR(tag) in _TEXT},
    "Modality": ("MR",),
    "SliceThickness": (1.0,),
}


def _marked(empty: Hospital) -> int:
    """The study is received, routed by its description, and its job is parked with a reason that quotes it; the job's number."""
    arrival = empty.receive(STUDY, "pacs", "HILUM", (5, _MARKED), (2, {**_MARKED, "SeriesNumber": (MARK,)}))
    (job,) = empty.route(arrival, parked=("HLM-3006", f"BodyPartExamined is «{MARK}»"))
    return job.id


@pytest.mark.parametrize(("name", "sees"), [("vera", False), ("otto", True)])
def test_no_answer_tells_a_viewer_what_somebody_wrote(empty: Hospital, name: str, sees: bool) -> None:
    """Every page and call that only reads; an operator is told, so that the mark would be seen."""
    number = _marked(empty)
    opened: list[str] = []
    for open_ in browsers(empty):
        mine = open_(name)
        values = {**VALUES, "uid": STUDY, "series": f"{STUDY}.1", "number": number, "job": number, "row": 1, "frame": 1}
        for method, path in LEAST:
            if method != "GET" or path == "/live":
                continue
            for asked in ("", f"?q={MARK.lower()}") if path.endswith("/studies") else ("",):
                answer = mine.client.get(path.format(**values) + asked)
                # what somebody searched for stands in the search field
                text = re.sub(r'value="[^"]*"', "", answer.text)
                opened += [path] if MARK in text else []
                assert sees or MARK not in text, path
    if sees:
        assert {"/studies", "/studies/{uid}", "/parked", "/api/studies", "/api/studies/{uid}", "/api/parked", "/api/jobs/{number}"} <= set(
            opened
        )
