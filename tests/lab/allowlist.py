"""The one list of false alarms: what a validator says though the object is right, each with the reason why it is passed over."""

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class FalseAlarm:
    """A complaint that is passed over. `says` is searched in one line of the validator's output; `short` is what tables call it.

    `validator` is a program ("dciodvfy"), or one build of it ("dciodvfy 2022"). `about` is the one kind of object that it is passed over
    in ("label map", "TID 1501"): in all others the same words are a fault.
    """

    validator: str
    short: str
    says: re.Pattern[str]
    why: str
    about: str = ""


FALSE_ALARMS = (
    FalseAlarm(
        validator="dciodvfy",
        short="Laterality",
        says=re.compile(r"Missing attribute Type 2C Conditional Element=<Laterality> Module=<GeneralSeries>"),
        why="Laterality (0020,0060) is required for paired structures only (PS3.3 C.7.3.1); the program demands it whenever"
        " BodyPartExamined is absent.",
    ),
    FalseAlarm(
        validator="dciodvfy",
        short="SyntheticData",
        says=re.compile(r"not a recognized standard attribute - \(0x0008,0x001c\)", re.IGNORECASE),
        why="SyntheticData (0008,001C) of the SOP Common module is newer than the program's dictionary.",
    ),
    FalseAlarm(
        validator="dcentvfy",
        short="AccessionNumber",
        says=re.compile(r"Different information entities for attribute - Element=<AccessionNumber>"),
        why="AccessionNumber stands in the General Study module and in references to requests as well; the program mixes the two.",
    ),
    FalseAlarm(
        validator="pixelmed",
        short="130400",
        says=re.compile(r"\(130400,DCM,.*Content Item not in template"),
        why="(130400, DCM, Geometric purpose of region) is a row of TID 1410 and 1411 that the 2022 templates do not hold.",
    ),
    FalseAlarm(
        validator="pixelmed",
        short="CID 4031",
        says=re.compile(r'\(816094009,SCT,"Chest"\) not found in context group 4031$'),
        why="CID 4031 (Common Anatomic Regions) has 816094009 for the chest today, as pydicom's copy of PS3.16 says; the 2022 context"
        " groups have the concept that it replaced.",
    ),
    FalseAlarm(
        validator="pixelmed",
        short="CID 100",
        says=re.compile(r"\((43468-8,LN|77343006,SCT),[^)]*\) not found in context group 100$"),
        why="CID 100 (Quantitative Diagnostic Imaging Procedure) has held radiography and angiography for years; the 2022 context groups"
        " are older.",
    ),
    FalseAlarm(
        validator="pixelmed",
        short="TID 4019",
        says=re.compile(r"\((111000|111001|111002|111003|122405),DCM,[^)]*\): Content Item not in template"),
        why="TID 1411 includes the algorithm's identification (TID 4019) in its group; the 2022 templates look for it elsewhere.",
    ),
    FalseAlarm(
        validator="pixelmed",
        short="TID 1501 row 11",
        says=re.compile(r'\(125007,DCM,"Measurement Group"\)/CODE \([^,()]+,(?!DCM)[^,()]+,"[^"]*"\): Content Item not in template'),
        why="Row 11 of TID 1501, a qualitative evaluation ($QualType, any concept), is not in the 2022 templates.",
    ),
    FalseAlarm(
        validator="pixelmed",
        short="recommended follow-up",
        says=re.compile(r'\(125007,DCM,"Measurement Group"\)/CODE \(111053,DCM,"Recommended Follow-up"\): Content Item not in template'),
        why="A qualitative evaluation of TID 1410, too, asks about any concept ($QualType), those of DICOM's own among them.",
    ),
    FalseAlarm(
        validator="pixelmed",
        short="qualitative difference",
        says=re.compile(r'\(125007,DCM,"Measurement Group"\)/CODE \(111049,DCM,"Qualitative Difference"\): Content Item not in template'),
        why="What became of a finding since the prior is a qualitative evaluation too (TID 1501 row 11), of any concept.",
    ),
    FalseAlarm(
        validator="pixelmed",
        short="range of uncertainty",
        says=re.compile(
            r"\[Row (9|10)\] NUM \*: .*range of (upper|lower) measurement uncertainty.*expected INFERRED FROM - found HAS PROPERTIES"
        ),
        why="How far above and below a number the true value may lie are properties of it (TID 300 row 14, TID 310); the program takes"
        " every number below a number for one of the derivation's parameters (rows 9 and 10, whose names are the caller's).",
    ),
    FalseAlarm(
        validator="pixelmed",
        short="title modifier",
        about="withdrawal",
        says=re.compile(r"\[Row [34]\] CODE CID 701[12]: .*: Conditional content item present when condition not satisfied$"),
        why="(113011, DCM, Document Title Modifier) of CID 7011 stands where the document's title is (113001, DCM, Rejected for Quality"
        " Reasons) (TID 2010); the 2022 templates look for the title among the codes beside the modifier, not in the container's name.",
    ),
    FalseAlarm(
        validator="pixelmed",
        short="purpose of reference",
        about="withdrawal",
        says=re.compile(r"Row (8|10) Purpose of Reference \(Concept\) is forbidden for (IMAGE|COMPOSITE) content item$"),
        why="A template that asks for no purpose of reference does not forbid one: (260753009, SCT, Source) may be used, as unnamed items"
        " are undesirable for some readers (PS3.3 C.17.3).",
    ),
    FalseAlarm(
        validator="dciodvfy 2022",
        short="unknown class",
        about="label map",
        says=re.compile(r"Information Object Not found"),
        why="Label Map Segmentation Storage (1.2.840.10008.5.1.4.1.1.66.7) is newer than this build; that of 2026 knows it.",
    ),
    FalseAlarm(
        validator="dciodvfy 2022",
        short="segment 0",
        about="label map",
        says=re.compile(r"SegmentNumber not monotonically increasing .* with SegmentNumber of 0"),
        why="A label map may describe its background as segment 0 (PS3.3 C.8.20.4); the rule that the program knows is of BINARY and"
        " FRACTIONAL ones. The build of 2026 knows both.",
    ),
    FalseAlarm(
        validator="dciodvfy",
        short="segment of a label map",
        about="label map",
        says=re.compile(r"Shall not be present for Referenced SOP Class that is not segmentation - attribute <ReferencedSegmentNumber>"),
        why="ReferencedSegmentNumber (0062,000B) names a segment of a segmentation (PS3.3 table 10-3), and a label map is one; the program"
        " has the class of BINARY ones in that rule only.",
    ),
    FalseAlarm(
        validator="dciodvfy",
        short="no plane",
        about="explanation",
        says=re.compile(r"Missing attribute Type 1 Required Element=<Plane(Position|Orientation|PositionSlide)Sequence>"),
        why="Plane position and orientation of a Parametric Map are required where its frame of reference is the patient's, or the slide's"
        " (PS3.3 A.75.5); a projection's is neither. The program demands those of the patient and of the slide at once, which no map has.",
    ),
    FalseAlarm(
        validator="dsrdump",
        short="read when told to",
        about="label map",
        says=re.compile(r"Invalid or unknown image SOP class referenced from IMAGE content item"),
        why="Label Map Segmentation Storage is newer than DCMTK 3.6.7, which reads such a report with --invalid-item-value only.",
    ),
    FalseAlarm(
        validator="dcmqi",
        short="refuses JPEG-LS",
        about="label map",
        says=re.compile(r"Transfer syntax JPEG-LS Lossless uses lossy compression"),
        why="1.2.840.10008.1.2.4.80 is lossless (PS3.5 A.4.3); the DCMTK inside dcmqi 1.5.7 takes it for its lossy sister and refuses.",
    ),
)


def judged(validator: str, lines: Sequence[str], about: str = "") -> tuple[list[str], list[FalseAlarm]]:
    """Those of `lines` that no false alarm of this validator explains, and the false alarms that explain the others."""
    beyond: list[str] = []
    passed: list[FalseAlarm] = []
    known = [alarm for alarm in FALSE_ALARMS if alarm.validator in (validator, validator.partition(" ")[0]) and alarm.about in ("", about)]
    for line in lines:
        why = next((alarm for alarm in known if alarm.says.search(line)), None)
        if why is None:
            beyond.append(line)
        else:
            passed.append(why)
    return beyond, passed
