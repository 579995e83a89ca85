"""What else looks so: for findings that are told, what a reader has to think of beside them, as published; data, and which rows hold.

Each row is one sentence that names its finding and its source. It is said where the finding is told as there, marked or found at a place,
and never of what is absent. Which of the things it is, no image decides here.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from inference import codes
from inference.codes import Code
from inference.findings import Findings
from inference.translatable import Translatable, say


@dataclass(frozen=True, slots=True, kw_only=True)
class LookAlike:
    """One row.

    Attributes
    ----------
    modalities
        Of the images on which it looks so.
    finding, sites
        What is told, and where; () is anywhere.
    sentence
        What else looks so, with its source.
    of_masks
        Whether it holds for masks: one of a tumour is of no lesion that is only bright.
    """

    modalities: frozenset[str]
    finding: Code
    sites: tuple[Code, ...]
    sentence: Translatable
    of_masks: bool = True

    def is_of(self, finding: Code, site: Code | None, *, mask: bool = False) -> bool:
        """Whether it is about a finding at a site, which is a mask's or not."""
        if mask and not self.of_masks:
            return False
        return _key(finding) == _key(self.finding) and (not self.sites or _key(site) in map(_key, self.sites))


_CT, _MR, _RADIOGRAPHS = frozenset({"CT"}), frozenset({"MR"}), frozenset({"CR", "DX"})
_CALCIFICATIONS = "Kiroğlu and others, Diagn Interv Radiol 2010;16:263-269"

LOOK_ALIKES: tuple[LookAlike, ...] = (
    LookAlike(
        modalities=_CT,
        finding=codes.HEMORRHAGE,
        sites=(codes.BRAIN,),
        sentence=say(
            "Intraparenchymal haemorrhage: calcifications and, after endovascular treatment, contrast medium in the tissue look alike on "
            "CT ({source}).",
            source=f"{_CALCIFICATIONS}; Payabvash and others, Neuroradiology 2014;56:737-744",
        ),
    ),
    LookAlike(
        modalities=_CT,
        finding=codes.HEMORRHAGE,
        sites=(codes.MENINGES,),
        sentence=say(
            "Extra-axial haemorrhage: metastases, lymphoma and infection of the dura look like subdural blood on CT, and the fluid spaces "
            "of a swollen brain like subarachnoid blood ({source}).",
            source="Catana and others, World Neurosurg 2016;93:73-80; Given and others, AJNR 2003;24:254-256",
        ),
    ),
    LookAlike(
        modalities=_CT,
        finding=codes.HEMORRHAGE,
        sites=(codes.BRAIN_VENTRICLE,),
        sentence=say("Intraventricular haemorrhage: a calcified choroid plexus looks alike on CT ({source}).", source=_CALCIFICATIONS),
    ),
    LookAlike(
        modalities=_CT,
        finding=codes.EDEMA,
        sites=(codes.BRAIN,),
        sentence=say(
            "Oedema: that of an infarct, that around tumours and abscesses and that of hydrocephalus are dark alike on CT ({source}).",
            source="Ho and others, AJR 2012;199:W258-W273",
        ),
    ),
    LookAlike(
        modalities=_CT,
        finding=codes.NODULE,
        sites=(codes.LUNG, codes.LUNGS),
        sentence=say(
            "Lung nodule: infectious granulomas and hamartomas look like tumours on CT, as do lymph nodes in the lung ({source}).",
            source="Khan and others, Avicenna J Med 2011;1:39-51; Schreuder and others, Radiol Cardiothorac Imaging 2020;2:e190159",
        ),
    ),
    LookAlike(
        modalities=_RADIOGRAPHS,
        finding=codes.PNEUMONIA,
        sites=(),
        sentence=say(
            "Pneumonia: tumours, oedema and infarction of the lung, alveolar haemorrhage, reactions to drugs and organising pneumonia look "
            "alike on radiographs ({source}).",
            source="Black, Pneumonia (Nathan) 2016;8:2",
        ),
    ),
    LookAlike(
        modalities=_MR,
        finding=codes.LESION,
        sites=(codes.BRAIN,),
        sentence=say(
            "Lesions of the brain: vascular disease of age, multiple sclerosis and neuromyelitis optica look alike on MR ({source}).",
            source="Geraldes and others, Nat Rev Neurol 2018;14:199-213",
        ),
        of_masks=False,
    ),
)
"""Reviews and studies of what is taken for these findings, each read for the things that its sentence names."""


def look_alikes(findings: Findings, modality: str) -> tuple[Translatable, ...]:
    """The sentences of what is told as there: each row once, in the order of the table."""
    told = list(_told(findings))
    return tuple(
        one.sentence
        for one in LOOK_ALIKES
        if modality in one.modalities and any(one.is_of(finding, site, mask=mask) for finding, site, mask in told)
    )


def look_alike_of(remark: str) -> LookAlike | None:
    """The row that a remark is the sentence of; None for any other remark."""
    return next((one for one in LOOK_ALIKES if one.sentence == remark), None)


def _key(code: Code | None) -> tuple[str, str] | None:
    # people word one code in several ways
    return None if code is None else (code.value, code.scheme)


def _told(findings: Findings) -> Iterator[tuple[Code, Code | None, bool]]:
    """What is there, at which site, and whether as a mask."""
    yield from ((one.type, one.finding_site, True) for one in findings.segments if one.has_voxels)
    yield from ((one.finding, one.finding_site, False) for one in findings.locations if one.point is None)
    yield from ((one.finding, one.finding_site, False) for one in findings.evaluations if one.value == codes.PRESENT)
