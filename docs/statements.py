"""The statements that a hospital's integrator asks for: presentation contexts and statuses, and the IHE integration statement."""

from importlib.metadata import version

from pydicom.uid import UID

from docs.objects import named_kinds
from node.dimse.contexts import DECODABLE, OTHERS, storage_classes
from node.dimse.port import Verdict, verdict
from node.dimse.services.kinds import KINDS

_MANY = 5


def contexts(made: str) -> str:
    """What the node accepts and proposes on associations, and what it makes of each status of a C-STORE."""
    from pynetdicom.status import STORAGE_SERVICE_CLASS_STATUS

    text = [
        "# Presentation contexts and statuses\n\n",
        made,
        "## Transfer syntaxes that the node accepts\n\nIn order of preference; `limits: {syntaxes: […]}` narrows the list for a peer.\n\n",
        "| transfer syntax | UID | pixels |\n|---|---|---|\n",
    ]
    text += [f"| {UID(uid).name} | {uid} | decoded |\n" for uid in DECODABLE]
    text += [f"| {UID(uid).name} | {uid} | kept and forwarded as they are |\n" for uid in OTHERS]
    text.append(
        "\n## SOP classes that the node accepts\n\n| service, as SCP | what is taken | word in `may` | SOP classes |\n|---|---|---|---|\n"
    )
    for kind in KINDS:
        classes = kind.sop_classes()
        listed = ", ".join(classes) if len(classes) < _MANY else f"{len(classes)}, below"
        text.append(f"| {kind.name} | {kind.says} | `{kind.may}` | {listed} |\n")
    text.append("\nFor storage:\n\n| SOP class | UID |\n|---|---|\n")
    text += [f"| {UID(uid).name} | {uid} |\n" for uid in storage_classes()]
    text.append(
        "\n## SOP classes that the node proposes\n\nAs SCU: those of the [result objects](objects.md), each in the syntax that it was "
        "frozen in and in uncompressed ones; whatever `hilum send` is given; Verification; Study Root Query/Retrieve FIND at "
        "peers with `find` in `may`.\n"
    )
    text.append("\n## What a status means for a delivery\n\n| status | name | hilum |\n|---|---|---|\n")
    said = {Verdict.ACCEPTED: "delivered", Verdict.REFUSED: "parked: a person decides", Verdict.UNCLEAR: "tried again"}
    spans: list[tuple[int, int, str, str]] = []
    # what is no status of the service class and is a warning all the same (PS3.7 C)
    named = {0x0001: "Requested Optional Attributes Not Supported", **dict.fromkeys(range(0xB000, 0xC000), "other warnings")}
    named |= {status: name for status, (_, name) in STORAGE_SERVICE_CLASS_STATUS.items()}
    for status, name in sorted(named.items()):
        meaning = said[verdict(status)]
        if spans and spans[-1][1] == status - 1 and spans[-1][2:] == (name, meaning):
            spans[-1] = (spans[-1][0], status, name, meaning)
        else:
            spans.append((status, status, name, meaning))
    for first, last, name, meaning in spans:
        shown = f"{first:04X}" if first == last else f"{first:04X}–{last:04X}"
        text.append(f"| {shown} | {name} | {meaning} |\n")
    text.append("| none | no answer, or the association was lost | tried again: the peer may have the object |\n")
    return "".join(text)


def integration(made: str) -> str:
    """The IHE integration statement, in the form of IHE Radiology Technical Framework volume 1, appendix D."""
    kinds = named_kinds()
    rows = {
        "General": "Contributing Equipment item with purpose (109102, DCM, Processing Equipment), Manufacturer, ManufacturerModelName, "
        "SoftwareVersions and DeviceUID, which is new for every model file; patient and study of the analysed images",
        "Qualitative findings": f"{kinds['sr']}: TID 1501 groups, (52101004 Present / 272519000 Absent / 373068000 Undetermined, SCT)",
        "Measurements": f"{kinds['sr']}: TID 1411 groups that refer to the segment, TID 1501 for values of the whole study",
        "Locations": f"{kinds['detections']}: TID 1410 groups with SCOORD or SCOORD3D",
        "Regions": f"{kinds['seg']}: BINARY, FRACTIONAL (all or nothing) on grids of no whole bytes for viewers, or a label map where "
        "a sink asks for it",
        "Parametric maps": f"{kinds['map']}; what moved a classifier's answer is one too, only where a sink asks for it, and "
        "says that it is no location",
        "Tracking identifiers": "In every measurement group and every segment; equal in all objects that speak of one finding",
    }
    text = [
        "# IHE integration statement\n\n",
        made,
        "| | |\n|---|---|\n",
        f"| Vendor | hilum |\n| Product | hilum, DICOM-network AI node |\n| Version | {version('hilum')} |\n\n",
        "This product is built to the following IHE transactions. It has not been tested at a connectathon.\n\n",
        "| profile | actor | options |\n|---|---|---|\n",
        "| AI Results (AIR), Trial Implementation | Evidence Creator | none |\n\n",
        "| transaction | how |\n|---|---|\n",
        "| [RAD-18] Creator Images Stored | C-STORE as SCU of derived images and secondary captures |\n",
        "| [RAD-43] Evidence Documents Stored | C-STORE as SCU of reports, segmentations, maps and registrations |\n\n",
        "Storage Commitment [RAD-10] is supported: a sink with `commitment: required` is asked for it.\n\n",
        "## AI Results, what is asked of an Evidence Creator and how it is met\n\n| of AIR 6.5.3 | hilum |\n|---|---|\n",
    ]
    text += [f"| {what} | {how} |\n" for what, how in rows.items()]
    text += [
        "\nEvery measurement report has TID 1500 as its root, the procedure that was analysed as Procedure Reported, the device as ",
        "observer, PreliminaryFlag PRELIMINARY and VerificationFlag UNVERIFIED, and lists all that it refers to in its ",
        "evidence. [objects.md](objects.md) has every attribute, ",
        "[validators.md](validators.md) what independent validators say.\n",
    ]
    return "".join(text)
