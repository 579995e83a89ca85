"""Pages and pictures of a study's images: who may see which, and what is written around them. What a picture shows is made in `images`."""

import contextlib
import json
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response

from node.console import queries, redaction
from node.console.access import At, Looking, Number, Visitor
from node.console.context import ConsoleContext
from node.console.errors import RequestRefused
from node.console.images.gallery import AskedImage, Segmented
from node.console.images.grey import DisplayWindow
from node.console.images.reports import ReportedValue
from node.console.images.stack import Stack, view_of
from node.console.rendering import page
from node.domain.errors import JournalError
from node.domain.instance import Instance, Standing
from node.domain.job import ResultObject
from node.domain.profile import Form, Kind
from node.results.kind import Picture
from node.results.kinds import KINDS, record_of

RECEIVED = "received"
"""In the place of a job's number: nobody here made the segmentation, it came with the study."""
PRESETS = (
    ("Lung", -600, 1500),
    ("Mediastinum", 50, 350),
    ("Soft tissue", 50, 400),
    ("Liver", 30, 150),
    ("Brain", 40, 80),
    ("Bone", 400, 1800),
)
"""Centre and width in HU that CT is usually looked at in."""
_MOST = 1e7
_REPORTS = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.88.22",  # Enhanced SR
        "1.2.840.10008.5.1.4.1.1.88.33",  # Comprehensive SR
        "1.2.840.10008.5.1.4.1.1.88.34",  # Comprehensive 3D SR
    }
)

pages = APIRouter(include_in_schema=False)
calls = APIRouter(prefix="/api", tags=["console"])


class _Png(Response):
    media_type = "image/png"


_PNG: dict[str, Any] = {"response_class": _Png, "responses": {200: {"content": {"image/png": {}}}}}


def pictured(who: Visitor) -> tuple[Kind, ...]:
    """The kinds of results of which somebody may see a picture."""
    # what stands on a page of words, people may have written
    return tuple(one.kind for one in KINDS if one.picture is not None and (who.sees_patients or one.picture is not Picture.PAGE))


@pages.get("/studies/{uid}/series/{series}")
def look_through(request: Request, at: At, who: Looking, uid: str, series: str, mask: str = "") -> HTMLResponse:
    """The images of a series, with the mask of a result over them."""
    study = queries.study(at, who, uid)
    known = next((one for one in study["series"] if one["series_uid"] == series), None)
    if known is None:
        raise RequestRefused(HTTPStatus.NOT_FOUND, "no series of this UID was received")
    stack = at.gallery.stack(uid, series)
    masks = [*_masks_of(study, series), *_received(at, who, study, stack)]
    chosen = next((one for one in masks if one["sop_uid"] == mask), masks[0] if masks and mask != "none" else None)
    problem, marked, segments, share_of = "", list[int](), list[dict[str, Any]](), ""
    if chosen is not None:
        try:
            one = _segmented(at, uid, chosen["job"], chosen["sop_uid"])
            marked = at.gallery.marked(stack, one)
            known_masks = at.gallery.masks(one)
            share_of = known_masks.share_of
            # what others called their segments, they may have typed
            told_of = isinstance(one, ResultObject) or who.sees_patients
            segments = [
                {"label": each.label if told_of else f"segment {each.number}", "rgb": list(each.rgb)} for each in known_masks.segments
            ]
        except RequestRefused as unfit:
            problem = _for(who, unfit).words
    told = {
        "study": uid,
        "images": [[one.row, one.frame + 1] for one in stack.images],
        "edges": _edges(stack),
        "mask": None if chosen is None or problem else f"{chosen['job']}/{chosen['sop_uid']}",
        "marked": marked,
        "modality": known["modality"],
        "window": _window(at, who, uid, stack),
    }
    return page(
        request, "series.html", who, study=study, series=known, masks=masks, chosen=chosen, segments=segments, problem=problem,
        share_of=share_of, window=told["window"], presets=PRESETS if known["modality"] == "CT" else (),
        told=json.dumps(told, separators=(",", ":")), count=len(stack.images), marked=len(marked),
    )  # fmt: skip


@calls.get("/studies/{uid}/images/{row}/{frame}.png", **_PNG)
def image(
    at: At,
    who: Looking,
    uid: str,
    row: Number,
    frame: Number,
    centre: Annotated[float | None, Query(ge=-_MOST, le=_MOST)] = None,
    width: Annotated[float | None, Query(gt=0, le=_MOST)] = None,
) -> Response:
    """An image of a study in the window of `centre` and `width`, in its modality's values, else in that of its header; `row` is its number
    in the journal, frames count from 1."""
    if (centre is None) != (width is None):
        raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, "a window has a centre and a width")
    asked = _asked(at, who, uid, row, frame)
    window = None if centre is None or width is None else DisplayWindow(centre=centre, width=width)
    return _png(at, who, uid, lambda: at.gallery.image(asked, window))


@calls.get("/studies/{uid}/images/{row}/{frame}/value")
def value(
    at: At,
    who: Looking,
    uid: str,
    row: Number,
    frame: Number,
    right: Annotated[float, Query(ge=0, le=1)],
    down: Annotated[float, Query(ge=0, le=1)],
) -> dict[str, Any]:
    """What stands at a place of an image, in its modality's values: `right` and `down` are shares of its width and height as shown."""
    try:
        found = at.gallery.value(_asked(at, who, uid, row, frame), right, down)
    except RequestRefused as unfit:
        raise _for(who, unfit) from unfit
    return {"row": found.row, "column": found.column, "value": found.value}


@calls.get("/studies/{uid}/images/{row}/{frame}/mask/received/{sop_uid}.png", **_PNG)
def received_mask(at: At, who: Looking, uid: str, row: Number, frame: Number, sop_uid: str) -> Response:
    """The same of a segmentation that came with the study."""
    asked, one = _asked(at, who, uid, row, frame), _segmented(at, uid, RECEIVED, sop_uid)
    return _png(at, who, uid, lambda: at.gallery.mask(asked, one))


@calls.get("/studies/{uid}/images/{row}/{frame}/mask/{job}/{sop_uid}.png", **_PNG)
def mask(at: At, who: Looking, uid: str, row: Number, frame: Number, job: Number, sop_uid: str) -> Response:
    """What a segmentation marks on an image: as large as that, clear elsewhere."""
    asked, one = _asked(at, who, uid, row, frame), _object(at, job, sop_uid)
    if at.journal.jobs.get(job).study_instance_uid != uid or one.kind != Kind.SEG:
        raise RequestRefused(HTTPStatus.NOT_FOUND, "no segmentation of this UID was made of the study")
    return _png(at, who, uid, lambda: at.gallery.mask(asked, one))


@calls.get("/jobs/{job}/objects/{sop_uid}/page.png", **_PNG)
def whole_page(at: At, who: Looking, job: Number, sop_uid: str) -> Response:
    """A result that is a page or a picture, as large as it is."""
    one = _object(at, job, sop_uid)
    if one.kind == Kind.SEG or one.kind not in pictured(who):
        raise RequestRefused(HTTPStatus.NOT_FOUND, "there is no page of this kind of result that your role may see")
    uid = at.journal.jobs.get(job).study_instance_uid
    return _png(at, who, uid, lambda: at.gallery.page_of(one, sees_patients=who.sees_patients))


@calls.get("/jobs/{job}/objects/{sop_uid}/thumbnail.png", **_PNG)
def thumbnail(at: At, who: Looking, job: Number, sop_uid: str) -> Response:
    """A small picture of a result; in the place of one that cannot be made any more, the reason."""
    one = _object(at, job, sop_uid)
    made_of = at.journal.jobs.get(job)
    uid = made_of.study_instance_uid
    if record_of(Kind(one.kind)).picture is Picture.PAGE and not who.sees_patients:
        raise RequestRefused(HTTPStatus.FORBIDDEN, "these pixels may show whose they are: your role may not see that")
    if one.kind not in pictured(who):
        raise RequestRefused(HTTPStatus.NOT_FOUND, "there is no picture of this kind of result")

    def make() -> bytes:
        if one.kind != Kind.SEG:
            return at.gallery.thumbnail(one, None, sees_patients=who.sees_patients)
        stack = at.gallery.stack(uid, made_of.series_instance_uid)
        fullest = at.gallery.fullest(stack, one)
        if fullest is None:
            raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, "the segmentation marks nothing on the images of its series")
        return at.gallery.thumbnail(one, _asked(at, who, uid, fullest.row, fullest.frame + 1), sees_patients=who.sees_patients)

    try:
        return _png(at, who, uid, make)
    except RequestRefused as unfit:
        if unfit.status not in (HTTPStatus.GONE, HTTPStatus.UNPROCESSABLE_ENTITY):
            raise
        return _Png(at.gallery.instead(unfit))


def _png(at: ConsoleContext, who: Visitor, uid: str, make: Any) -> Response:
    try:
        made = _Png(make())
    except RequestRefused as unfit:
        raise _for(who, unfit) from unfit
    at.accesses.saw(who.name, who.key, who.address, uid)
    return made


def _for(who: Visitor, refused: RequestRefused) -> RequestRefused:
    """A refusal without what its sentence quotes of a data set, for those who may not see patients."""
    words = refused.words if who.sees_patients else redaction.unquoted(refused.words)
    return RequestRefused(refused.status, words, retry_after_s=refused.retry_after_s)


def _asked(at: ConsoleContext, who: Visitor, uid: str, row: int, frame: int) -> AskedImage:
    found = at.journal.instances.get([row])
    if not found or found[0].study_instance_uid != uid:
        raise RequestRefused(HTTPStatus.NOT_FOUND, "the study has no such image")
    return AskedImage(instance=found[0], frame=frame - 1, sees_patients=who.sees_patients)


def _object(at: ConsoleContext, job: int, sop_uid: str) -> ResultObject:
    try:
        at.journal.jobs.get(job)
    except JournalError as unknown:
        if unknown.retry:
            raise
        raise RequestRefused(HTTPStatus.NOT_FOUND, f"there is no job {job}") from unknown
    found = next((one for one in at.journal.results.of_job(job) if one.sop_instance_uid == sop_uid), None)
    if found is None:
        raise RequestRefused(HTTPStatus.NOT_FOUND, f"job {job} made no object of this UID")
    return found


def findings_of(at: ConsoleContext, who: Visitor, study: dict[str, Any]) -> list[dict[str, Any]]:
    """What the reports of a study's jobs say, the newest job first: values for everybody, sentences for those who may see patients.

    A report that cannot be read is passed over: its place in the list of objects stands."""
    told = []
    for job in reversed(study["jobs"]):
        values: dict[ReportedValue, None] = {}
        said: dict[str, None] = {}
        for one in at.journal.results.of_job(job["id"]):
            if one.sop_class_uid not in _REPORTS:
                continue
            with contextlib.suppress(RequestRefused):
                content = at.gallery.report(one)
                values |= dict.fromkeys(content.values)
                if who.sees_patients and one.kind in (Kind.NARRATIVE, Kind.STATEMENT) and one.form.partition("+")[0] in ("", "en"):
                    said |= dict.fromkeys(content.sentences)
        pages = [one for one in job["objects"] if one["kind"] == Kind.SC] if Kind.SC in pictured(who) else []
        if values or said or pages:
            rows = [{"of": one.of if who.sees_patients else "", "name": one.name, "value": one.value, "unit": one.unit} for one in values]
            told.append({"job": job, "values": rows, "sentences": list(said), "pages": pages[:4]})
    return told


def _masks_of(study: dict[str, Any], series: str) -> list[dict[str, Any]]:
    """The segmentations that jobs on this series made, the newest first; of several forms of one the plain one."""
    return [
        {"job": job["id"], "application": job["application"], **{name: one[name] for name in ("sop_uid", "description")}}
        for job in reversed(study["jobs"])
        if any(each["series_uid"] == series for each in job["series"])
        for one in job["objects"]
        if one["kind"] == Kind.SEG and one["form"] in ("", Form.BINARY)
    ]


def _received(at: ConsoleContext, who: Visitor, study: dict[str, Any], stack: Stack) -> list[dict[str, Any]]:
    """The segmentations in the space of a series that came with its study and were not made here."""
    if not stack.frame_of_reference_uid:
        return []
    made = {one["sop_uid"] for job in study["jobs"] for one in job["objects"]}
    return [
        {
            "job": RECEIVED,
            "application": "",
            "sop_uid": one.sop_instance_uid,
            "description": _said(one, "SeriesDescription") if who.sees_patients else "",
        }
        for one in at.journal.instances.of_study(study["study_uid"])
        if _is_seg(one) and one.sop_instance_uid not in made and _said(one, "FrameOfReferenceUID") == stack.frame_of_reference_uid
    ]


def _segmented(at: ConsoleContext, uid: str, job: int | str, sop_uid: str) -> Segmented:
    """What a job made, or what came with the study."""
    if job != RECEIVED:
        return _object(at, int(job), sop_uid)
    found = next((one for one in at.journal.instances.of_study(uid) if _is_seg(one) and one.sop_instance_uid == sop_uid), None)
    if found is None:
        raise RequestRefused(HTTPStatus.NOT_FOUND, "no segmentation of this UID came with the study")
    return found


def _is_seg(one: Instance) -> bool:
    return one.standing is Standing.CURRENT and _said(one, "Modality") == "SEG"


def _said(one: Instance, keyword: str) -> str:
    return str(next(iter(one.header.get(keyword, ())), ""))


def _window(at: ConsoleContext, who: Visitor, uid: str, stack: Stack) -> list[float] | None:
    """Centre and width that the middle image is shown in, where it may be another window."""
    if not stack.images:
        return None
    middle = stack.images[len(stack.images) // 2]
    try:
        found = at.gallery.window(_asked(at, who, uid, middle.row, middle.frame + 1))
    except RequestRefused:
        return None  # whoever looks at the image is told why
    return None if found is None else [float(f"{found.centre:.6g}"), float(f"{found.width:.6g}")]


def _edges(stack: Stack) -> list[list[Any]]:
    """Which ends of the patient lie at left, right, top and bottom, from which image on."""
    told: list[list[Any]] = []
    for index, one in enumerate(stack.images):
        view = None if one.plane is None else view_of(one.plane)
        letters = ["", "", "", ""] if view is None else [view.left, view.right, view.top, view.bottom]
        if not told or told[-1][1:] != letters:
            told.append([index, *letters])
    return told
