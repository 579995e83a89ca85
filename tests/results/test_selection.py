"""What a profile chooses of a job's objects: pure rules, without a journal, a file or a sink."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from node.domain.job import ResultObject
from node.domain.profile import (
    ARCHIVE,
    BY_NAME_ALONE,
    EXPLANATIONS,
    PACS,
    TRIAGE,
    VIEWER,
    Compression,
    Form,
    Kind,
    Language,
    MaskEncoding,
    Profile,
)
from node.results.selection import made_in, preferred, select

LABELMAPS = replace(VIEWER, masks=MaskEncoding.LABELMAP)
NONE = replace(VIEWER, masks=MaskEncoding.NONE)
FORMS = ("binary", "labelmap", "labelmap+rle")


def objects(*made: tuple[str, str]) -> list[ResultObject]:
    """Result objects of one job by kind and form."""
    return [
        ResultObject(
            id=number,
            job=1,
            kind=kind,
            form=form,
            sop_instance_uid=f"1.{number}",
            sop_class_uid="1.2",
            series_instance_uid=f"2.{number}",
            description=kind,
            blob=f"{number}",
            size=1,
            digest="",
        )
        for number, (kind, form) in enumerate(made)
    ]


def masks(*forms: str) -> list[tuple[str, str]]:
    """A segmentation with its report in each of these forms."""
    return [pair for form in forms for pair in (("seg", form), ("sr", form))]


EVERYTHING = objects(
    *masks(*FORMS),
    ("sr", ""),
    ("detections", ""),
    ("map", ""),
    ("overlay", ""),
    ("derived", ""),
    ("registration", ""),
    ("deformable-registration", ""),
    ("narrative", "en"),
    ("narrative", "zh"),
    ("pdf", "en"),
    ("pdf", "zh"),
    ("sc", ""),
    ("explanation", ""),
    ("explanation-map", ""),
    ("uncertainty-map", ""),
)


def sent(profile: Profile, made: Sequence[ResultObject], form: Form | None) -> list[tuple[str, str]]:
    """Kind and form of what goes; what does not has a reason."""
    chosen = select(profile, made, form)
    assert sorted([one.id for one in chosen.sent] + [one.one.id for one in chosen.left_out]) == [one.id for one in made]
    assert all(one.why for one in chosen.left_out)
    return [(one.kind, one.form) for one in chosen.sent]


def test_a_viewer_gets_binary_masks_reports_maps_and_the_page() -> None:
    """And no narrative, whatever was made for others."""
    assert sent(VIEWER, EVERYTHING, Form.BINARY) == [
        *masks("binary"),
        ("sr", ""),
        ("detections", ""),
        ("map", ""),
        ("derived", ""),
        ("registration", ""),
        ("deformable-registration", ""),
        ("sc", ""),
    ]


def test_a_conservative_pacs_gets_maps_as_pictures_only() -> None:
    """Neither Parametric Maps nor registrations; a derived image is what any PACS shows."""
    assert sent(PACS, EVERYTHING, Form.BINARY) == [
        *masks("binary"),
        ("sr", ""),
        ("detections", ""),
        ("overlay", ""),
        ("derived", ""),
        ("sc", ""),
    ]


def test_a_research_archive_gets_every_kind_once() -> None:
    """One form of the masks, one language; explanations of answers have to be asked for by name, and there is a result: no note."""
    chosen = sent(ARCHIVE, EVERYTHING, Form.LABELMAP_RLE)
    assert {kind for kind, _ in chosen} == set(Kind) - BY_NAME_ALONE - {Kind.STATEMENT, Kind.WITHDRAWAL}
    assert chosen[:2] == masks("labelmap+rle")
    assert [form for kind, form in chosen if kind in ("narrative", "pdf")] == ["en", "en"]


def test_explanations_go_where_they_are_asked_for_and_it_is_said_where_they_were_not_made() -> None:
    """The picture, the map, or both, each by its own switch; a sink that came later is told what nobody made."""
    drawn = replace(VIEWER, kinds=VIEWER.kinds | {Kind.EXPLANATION})
    assert ("explanation", "") in sent(drawn, EVERYTHING, Form.BINARY)
    assert ("explanation-map", "") not in sent(drawn, EVERYTHING, Form.BINARY)
    both = replace(VIEWER, kinds=VIEWER.kinds | EXPLANATIONS)
    assert set(sent(both, EVERYTHING, Form.BINARY)) >= {("explanation", ""), ("explanation-map", "")}
    left = [one for one in EVERYTHING if one.kind != Kind.EXPLANATION_MAP]
    assert "explanations of answers as maps were not made" in select(both, left, Form.BINARY).wanting
    assert ("uncertainty-map", "") not in sent(both, EVERYTHING, Form.BINARY)
    assert ("uncertainty-map", "") in sent(replace(VIEWER, kinds=VIEWER.kinds | {Kind.UNCERTAINTY_MAP}), EVERYTHING, Form.BINARY)


@pytest.mark.parametrize("form", [Form.BINARY, Form.LABELMAP, Form.LABELMAP_RLE])
@pytest.mark.parametrize("profile", [VIEWER, LABELMAPS, PACS, ARCHIVE])
def test_masks_and_their_reports_are_never_of_two_forms(profile: Profile, form: Form) -> None:
    """Whatever form was chosen, exactly that set goes, masks first; the report about no mask goes with any."""
    chosen = sent(profile, EVERYTHING, form)
    assert [pair for pair in chosen if pair[0] == "seg" or (pair[0] == "sr" and pair[1])] == masks(form)
    assert ("sr", "") in chosen


def test_a_sink_without_masks_gets_the_report_that_refers_to_none() -> None:
    """The numbers are not lost with the masks; of a job of before, by the report that refers to those which are always made. A PACS may
    come to it, a viewer gets it where viewers misread the masks."""
    assert preferred(NONE, EVERYTHING) == (Form.BINARY,)
    assert sent(NONE, EVERYTHING, Form.BINARY)[:2] == [("sr", "binary"), ("sr", "")]
    made = objects(*masks(*FORMS), ("sr", "no-masks"), ("sr", ""), ("narrative", "en"), ("narrative", "en+no-masks"))
    assert preferred(NONE, made) == (Form.NO_MASKS,)
    assert sent(NONE, made, Form.NO_MASKS) == [("sr", "no-masks"), ("sr", "")]
    assert preferred(PACS, made) == (Form.BINARY, Form.NO_MASKS)
    assert preferred(ARCHIVE, made) == (Form.LABELMAP_RLE, Form.BINARY)
    misread = [replace(one, one_cine=one.kind == "seg") for one in made]
    assert preferred(VIEWER, misread) == (Form.NO_MASKS,)
    assert sent(VIEWER, misread, Form.NO_MASKS) == [("sr", "no-masks"), ("sr", "")]
    assert sent(replace(NONE, kinds=frozenset({Kind.NARRATIVE})), made, Form.NO_MASKS) == [("narrative", "en+no-masks")]


def test_a_sink_of_narratives_alone_gets_the_one_that_refers_to_no_mask() -> None:
    """Of masks that it does not get, or that its PACS takes none of, whether a report without masks was made for another sink or not; of a
    job of before there is the plain one alone."""
    narratives = replace(NONE, kinds=frozenset({Kind.NARRATIVE}))
    made = objects(*masks("binary"), ("narrative", "en"), ("narrative", "en+no-masks"))
    for profile in (narratives, replace(NONE, kinds=NONE.kinds | {Kind.NARRATIVE}, mask_reports=False)):
        assert preferred(profile, made) == (Form.NO_MASKS,)
        assert sent(profile, made, Form.NO_MASKS) == [("narrative", "en+no-masks")]
    pacs = replace(PACS, kinds=frozenset({Kind.NARRATIVE}))
    assert preferred(pacs, made) == (Form.BINARY, Form.NO_MASKS)
    assert sent(pacs, made, Form.BINARY) == [("seg", "binary"), ("narrative", "en")]
    parted = [*(replace(one, part="a cine", one_cine=one.kind == "seg") for one in made), *(replace(one, id=9 + one.id) for one in made)]
    viewer = replace(VIEWER, kinds=frozenset({Kind.NARRATIVE}))
    chosen = select(viewer, parted, Form.BINARY).sent
    assert [(one.part, one.form) for one in chosen if one.kind == "narrative"] == [("a cine", "en+no-masks"), ("", "en")]
    assert sent(narratives, made[:3], Form.NO_MASKS) == [("narrative", "en")]
    assert preferred(narratives, objects(("sr", ""), ("narrative", "en"))) == ()


def test_without_reports_the_masks_go_alone() -> None:
    """And the other report stays too."""
    assert [kind for kind, _ in sent(replace(VIEWER, kinds=frozenset({Kind.SC})), EVERYTHING, Form.BINARY)] == ["seg", "sc"]


def test_what_earlier_releases_made_is_binary() -> None:
    """Their rows have no form (written by a node of the release before, while both run): all of it goes to everybody."""
    old = objects(("seg", ""), ("sr", ""), ("sr", ""), ("sc", ""))
    assert made_in(old) == (Form.BINARY,)
    for profile in (VIEWER, PACS, ARCHIVE):
        assert preferred(profile, old) == (Form.BINARY,)
        assert sent(profile, old, Form.BINARY) == [("seg", ""), ("sr", ""), ("sr", ""), ("sc", "")]


@pytest.mark.parametrize(
    ("profile", "made", "forms"),
    [
        (VIEWER, FORMS, (Form.BINARY,)),
        (VIEWER, ("binary", "fractional"), (Form.FRACTIONAL, Form.BINARY)),
        (PACS, ("binary", "fractional"), (Form.BINARY,)),
        (LABELMAPS, FORMS, (Form.LABELMAP, Form.BINARY)),
        (ARCHIVE, FORMS, (Form.LABELMAP_RLE, Form.BINARY)),
        (replace(ARCHIVE, compression=Compression.JPEG_LS), FORMS, (Form.BINARY,)),  # the sink came after the job was encoded
        (LABELMAPS, ("binary",), (Form.BINARY,)),
        (LABELMAPS, (), ()),  # nothing was found
    ],
)
def test_the_form_that_is_asked_for_comes_first_and_binary_last(profile: Profile, made: tuple[str, ...], forms: tuple[Form, ...]) -> None:
    """A form that nobody made is no choice."""
    assert preferred(profile, objects(*masks(*made), ("sc", ""))) == forms


def test_a_form_that_one_part_of_the_series_lacks_is_no_choice() -> None:
    """Segments of the second part overlap, which no label map holds: its masks would be lost if the first part's label map decided."""
    made = objects(*masks("binary", "labelmap"), *masks("binary"))
    assert preferred(LABELMAPS, made) == (Form.BINARY,)


def test_a_form_without_its_report_is_no_choice() -> None:
    """A label map whose report was not made would go without one, or with the report about other masks."""
    assert preferred(LABELMAPS, objects(*masks("binary"), ("seg", "labelmap"))) == (Form.BINARY,)


def test_empty_masks_go_where_they_are_asked_for() -> None:
    """They are of no form that is chosen among."""
    made = objects(("seg", "empty"), ("sr", ""), ("sc", ""))
    assert preferred(ARCHIVE, made) == ()
    assert sent(ARCHIVE, made, None) == [("seg", "empty"), ("sr", ""), ("sc", "")]
    assert sent(VIEWER, made, None) == [("sr", ""), ("sc", "")]
    assert sent(replace(NONE, empty_masks=True), made, None) == [("sr", ""), ("sc", "")]


def test_triage_is_one_report() -> None:
    """What is present or absent, and neither a mask nor a report that refers to one, in whatever form masks are; notes of no result go."""
    made = objects(*masks(*FORMS), ("sr", ""), ("sc", ""), ("statement", "en"))
    for form in (None, Form.BINARY, Form.LABELMAP):
        assert sent(TRIAGE, made, form) == [("sr", ""), ("statement", "en")]
    left_out = select(TRIAGE, made, Form.BINARY).left_out
    assert [one.why for one in left_out if one.one.kind == "sr"] == ["this sink takes no reports that refer to masks"] * 3
    # a sink that takes no masks still gets the numbers, unless it asks for none
    assert ("sr", "binary") in sent(NONE, made, Form.BINARY)
    assert ("sr", "binary") not in sent(replace(NONE, mask_reports=False), made, Form.BINARY)


def test_one_part_with_masks_and_one_without() -> None:
    """The empty mask of the second part does not depend on the form of the first one's."""
    made = objects(*masks("binary", "labelmap+rle"), ("seg", "empty"), ("sr", ""))
    assert preferred(ARCHIVE, made) == (Form.LABELMAP_RLE, Form.BINARY)
    assert sent(ARCHIVE, made, Form.LABELMAP_RLE) == [*masks("labelmap+rle"), ("seg", "empty"), ("sr", "")]


def test_a_language_that_nobody_wrote_is_replaced_by_those_that_are_there_and_said() -> None:
    """A Chinese department added to the sinks after the job was encoded: an English narrative is better than none."""
    chinese = replace(ARCHIVE, languages=(Language.CHINESE,))
    made = objects(("narrative", "en"), ("pdf", "en"), ("pdf", "zh"), ("sc", ""))
    chosen = select(chinese, made, None)
    assert [(one.kind, one.form) for one in chosen.sent] == [("narrative", "en"), ("pdf", "zh"), ("sc", "")]
    assert chosen.wanting == ("narratives were not made in zh",)


def test_a_narrative_goes_with_the_masks_that_its_sentences_refer_to() -> None:
    """Else it would refer to binary masks, which this sink does not have."""
    made = objects(*masks("binary", "labelmap+rle"), ("narrative", "en"), ("narrative", "en+labelmap+rle"), ("narrative", "zh"))
    assert sent(ARCHIVE, made, Form.LABELMAP_RLE)[-1] == ("narrative", "en+labelmap+rle")
    assert sent(ARCHIVE, made, Form.BINARY)[-1] == ("narrative", "en")
    both = replace(ARCHIVE, languages=tuple(Language))
    chosen = [form for kind, form in sent(both, made, Form.LABELMAP_RLE) if kind == "narrative"]
    assert chosen == ["en+labelmap+rle", "zh"]  # nobody wanted label maps in Chinese when this was encoded


def test_what_nobody_made_is_said() -> None:
    """No sink wanted a narrative when the job was encoded; this one does."""
    assert select(ARCHIVE, objects(("sc", "")), None).wanting == ("narratives were not made in en", "PDFs were not made in en")
    assert select(VIEWER, objects(("sc", "")), None).wanting == ()
    assert select(PACS, objects(("map", ""), ("sc", "")), None).wanting == ("maps drawn as pictures were not made",)
    assert select(PACS, objects(("map", ""), ("overlay", ""), ("sc", "")), None).wanting == ()


def test_each_part_of_a_series_has_narratives_of_its_own() -> None:
    """One echo has a mask, and a narrative in two forms; of the other only the plain one was written: it goes as well."""
    parted = [
        replace(one, part=part)
        for part, some in (
            ("echo 1", objects(*masks("binary", "labelmap+rle"), ("narrative", "en"), ("narrative", "en+labelmap+rle"))),
            ("echo 2", objects(("sr", ""), ("narrative", "en"))),
        )
        for one in some
    ]
    chosen = select(ARCHIVE, parted, Form.LABELMAP_RLE)
    sent = [(one.form, one.part) for one in chosen.sent if one.kind == "narrative"]
    assert sent == [("en+labelmap+rle", "echo 1"), ("en", "echo 2")]


def test_of_two_parts_that_whose_masks_viewers_misread_goes_without_them() -> None:
    """The report of a cine refers to no mask, that of the volume beside it to its own."""
    cine, volume = objects(*masks("binary"), ("sr", "no-masks")), objects(*masks("binary"))
    made = [*(replace(one, part="a cine", one_cine=one.kind == "seg") for one in cine), *(replace(one, id=9 + one.id) for one in volume)]
    assert preferred(VIEWER, made) == (Form.BINARY,)
    assert [(one.part, one.kind, one.form) for one in select(VIEWER, made, Form.BINARY).sent] == [
        ("a cine", "sr", "no-masks"),
        ("", "seg", "binary"),
        ("", "sr", "binary"),
    ]
