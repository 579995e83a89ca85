"""`hilum doctor` and `hilum config check` on what routes ask for: values that no image has, definitions that none asks for,
models that are not there yet.

A route that asks for what no defined term of the standard is, is good, and mostly takes nothing: a warning. What devices write beside the
standard is asked for by `matches`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from typing import Final

from node.domain.health import Area, DoctorFinding
from node.domain.route import Condition, ConditionOperator, Route, conditions_in, definitions_in
from node.settings.config import Config


@dataclass(frozen=True, slots=True, kw_only=True)
class DefinedTerms:
    """Those of a keyword. `clause` lists them; `street` is what people call some of them."""

    clause: str
    terms: frozenset[str]
    street: Mapping[str, str]


_MODALITIES: Final = """
    ANN AR ASMT AU BDUS BI BMD CFM CR CT CTPROTOCOL DG DMS DOC DX ECG EEG EMG EOG EPS ES FID GM HC HD IO IOL IVOCT IVUS KER KO LEN
    LS M3D MG MR NM OAM OCT OP OPM OPT OPTBSV OPTENF OPV OSS OT PA PLAN POS PR PT PX REG RESP RF RG RTDOSE RTIMAGE RTINTENT RTPLAN
    RTRAD RTRECORD RTSEGANN RTSTRUCT RWV SEG SM SMR SR SRF STAIN TEXTUREMAP TG US VA XA XAPROTOCOL XC
    AS CD CF CP CS DD DF DM DS EC FA FS LP MA MS OPR ST VF
"""
"""PS3.3 C.7.3.1.1.1: those of now, and the retired ones, which archives hold."""

_BODY_PARTS: Final = """
    3RDVENTRICLE 4THVENTRICLE ABDOMEN ABDOMENPELVIS ABDOMINALAORTA ACA ACJOINT ADRENAL AMNIOTICFLUID ANKLE ANTCARDIACV ANTCOMMA
    ANTECUBITALV ANTSPINALA ANTTIBIALA ANUSRECTUMSIGMD AORTA AORTICARCH APPENDIX ARTERY ASCAORTA ASCENDINGCOLON AXILLA AXILLARYA
    AXILLARYV AZYGOSVEIN BACK BASILARA BILEDUCT BILIARYTRACT BLADDER BLADDERURETHRA BRACHIALA BRACHIALV BRAIN BREAST BRONCHUS BULB
    BUTTOCK CALCANEUS CALF CARDIOVASCSYS CAROTID CCA CELIACA CEPHALICV CEREBELLUM CEREBHEMISPHERE CEREBRALA CERVIX CFA CFV CHEEK
    CHEST CHESTABDOMEN CHESTABDPELVIS CHOROIDPLEXUS CIRCLEOFWILLIS CLAVICLE COCCYX COLON COMILIACA COMILIACV COMMONBILEDUCT CORNEA
    CORONARYARTERY CORONARYSINUS CSPINE CTSPINE CULDESAC DESCAORTA DESCENDINGCOLON DUODENUM EAC EAR ECA ELBOW ENDOARTERIAL
    ENDOCARDIAC ENDOESOPHAGEAL ENDOMETRIUM ENDONASAL ENDONASOPHARYNYX ENDORECTAL ENDORENAL ENDOURETERIC ENDOURETHRAL ENDOVAGINAL
    ENDOVASCULAR ENDOVENOUS ENDOVESICAL EPIDIDYMIS EPIGASTRIC ESOPHAGUS EXTILIACA EXTILIACV EXTJUGV EXTREMITY EYE EYELID FACE
    FACIALA FEMORALA FEMORALV FEMUR FIBULA FINGER FLANK FONTANEL FOOT FOREARM GALLBLADDER GASTRICV GENICULARA GESTSAC GLUTEAL GSV
    HAND HEAD HEADNECK HEART HEPATICA HEPATICV HIP HUMERUS HYPOGASTRIC HYPOPHARYNX IAC ICA ILEUM ILIACA ILIACV ILIUM INFMESA
    INFVENACAVA INGUINAL INNOMINATEA INNOMINATEV INTILIACA INTJUGULARV INTMAMMARYA INTRACRANIAL JAW JEJUNUM JOINT KIDNEY KNEE
    LACRIMALA LARGEINTESTINE LARYNX LATRIUM LATVENTRICLE LFEMORALA LHEPATICV LHYPOCHONDRIAC LINGUALA LINGUINAL LIVER LLQ LLUMBAR
    LOWERLEG LOWERLIMB LOWERTRUNK LPORTALV LPULMONARYA LSPINE LSSPINE LSUPPULMONARYV LUMBAR LUMBARA LUMEN LUNG LUQ LVENTRICLE
    MANDIBLE MASTOID MAXILLA MCA MEDIASTINUM MESENTRICA MESENTRICV MIDHEPATICV MORISONSPOUCH MOUTH NASOPHARYNX NECK NECKCHEST
    NECKCHESTABDOMEN NECKCHESTABDPELV NOSE OCCIPTALV OCCPITALA OPHTHALMICA OPTICCANAL ORBIT OVARY PANCBILEDUCT PANCREAS
    PANCREATICDUCT PARASTERNAL PARATHYROID PAROTID PATELLA PCA PELVIS PELVISLOWEXTREMT PENILEA PENIS PERINEUM PERONEALA PHANTOM
    PHARYNX PHARYNXLARYNX PLACENTA POPLITEALA POPLITEALFOSSA POPLITEALV PORTALV POSCOMMA POSTIBIALA PROFFEMA PROFFEMV PROSTATE
    PULMONARYA PULMONARYV RADIALA RADIUS RADIUSULNA RATRIUM RECTUM RENALA RENALV RETROPERITONEUM RFEMORALA RHEPATICV RHYPOCHONDRIAC
    RIB RINGUINAL RLQ RLUMBAR RPORTALV RPULMONARYA RSUPPULMONARYV RUQ RVENTRICLE SAPHENOUSV SCALP SCAPULA SCJOINT SCLERA SCROTUM
    SELLA SEMVESICLE SESAMOID SFA SFJ SFV SHOULDER SIGMOID SIJOINT SKULL SMA SMALLINTESTINE SPINALCORD SPINE SPLEEN SPLENICA
    SPLENICV SSPINE STERNUM STOMACH SUBCLAVIANA SUBCLAVIANV SUBCOSTAL SUBMANDIBULAR SUPRACLAVICULAR SUPRAPUBIC SUPTHYROIDA SVC
    TESTIS THALAMUS THIGH THORACICAORTA THORAX THUMB THYMUS THYROID TIBIA TIBIAFIBULA TLSPINE TMJ TOE TONGUE TRACHEA TRACHEABRONCHUS
    TRANSVERSECOLON TRUNK TSPINE ULNA ULNARA UMBILICAL UMBILICALA UMBILICALV UPPERARM UPPERLIMB UPPERTRUNK UPRURINARYTRACT URETER
    URETHRA UTERUS VAGINA VEIN VERTEBRALA VULVA WHOLEBODY WRIST ZYGOMA
"""
"""PS3.16 Annex L, table L-1."""

_POSITIONS: Final = "HFP HFS HFDR HFDL FFDR FFDL FFP FFS LFP LFS RFP RFS AFDR AFDL PFDR PFDL"
"""PS3.3 C.7.3.1.1.2."""

DEFINED: Final[Mapping[str, DefinedTerms]] = {
    "Modality": DefinedTerms(
        clause="PS3.3 C.7.3.1.1.1",
        terms=frozenset(_MODALITIES.split()),
        street={
            "MRI": "MR",
            "NMR": "MR",
            "CAT": "CT",
            "CTSCAN": "CT",
            "XRAY": "DX",
            "X-RAY": "DX",
            "XR": "DX",
            "PET": "PT",
            "PETCT": "PT",
            "SPECT": "NM",
            "ULTRASOUND": "US",
            "USG": "US",
            "MAMMO": "MG",
            "ANGIO": "XA",
            "FLUORO": "RF",
        },
    ),
    "BodyPartExamined": DefinedTerms(
        clause="PS3.16 Annex L",
        terms=frozenset(_BODY_PARTS.split()),
        street={
            "CERVICAL SPINE": "CSPINE",
            "THORACIC SPINE": "TSPINE",
            "LUMBAR SPINE": "LSPINE",
            "C-SPINE": "CSPINE",
            "T-SPINE": "TSPINE",
            "L-SPINE": "LSPINE",
            "ABDOMEN_PELVIS": "ABDOMENPELVIS",
            "ABDOMEN PELVIS": "ABDOMENPELVIS",
            "HEAD NECK": "HEADNECK",
            "HEAD_NECK": "HEADNECK",
            "BELLY": "ABDOMEN",
            "LUNGS": "LUNG",
            "WHOLE BODY": "WHOLEBODY",
        },
    ),
    "PatientSex": DefinedTerms(
        clause="PS3.3 C.7.1.1",
        terms=frozenset({"F", "M", "O"}),
        street={"FEMALE": "F", "MALE": "M", "OTHER": "O", "W": "F"},
    ),
    "Laterality": DefinedTerms(clause="PS3.3 C.7.3.1", terms=frozenset({"L", "R"}), street={"LEFT": "L", "RIGHT": "R"}),
    "ImageLaterality": DefinedTerms(
        clause="PS3.3 C.8.11.1",
        terms=frozenset({"B", "L", "R", "U"}),
        street={"LEFT": "L", "RIGHT": "R", "BOTH": "B"},
    ),
    "PatientPosition": DefinedTerms(clause="PS3.3 C.7.3.1.1.2", terms=frozenset(_POSITIONS.split()), street={}),
}
"""By keyword."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UndefinedTerm:
    """A value that a route asks for and that is no defined term; `meant` is the one that was meant, most likely, or empty."""

    route: str
    keyword: str
    value: str
    meant: str

    @property
    def sentence(self) -> str:
        """What is said of it."""
        clause = DEFINED[self.keyword].clause
        meant = f'; did you mean "{self.meant}"?' if self.meant else ""
        return f'route "{self.route}" asks for {self.keyword} "{self.value}", which is none of the defined terms ({clause}){meant}'


def undefined_terms(routes: Sequence[Route]) -> Iterator[UndefinedTerm]:
    """Each value that a condition wants equal, or is to be without, and that is no defined term of its keyword."""
    for route in routes:
        for condition in conditions_in(route.asked):
            for value in _undefined(condition):
                meant = _meant(DEFINED[condition.keyword], value)
                yield UndefinedTerm(route=route.name, keyword=condition.keyword, value=value, meant=meant)


def _undefined(condition: Condition) -> Iterator[str]:
    known = DEFINED.get(condition.keyword)
    if known is None or condition.operator is not ConditionOperator.EQUALS:
        return
    for value in condition.expected:
        if isinstance(value, str) and value not in known.terms:
            yield value


def _meant(known: DefinedTerms, value: str) -> str:
    called = " ".join(value.upper().split())
    if called in known.terms:
        return called
    if called in known.street:
        return known.street[called]
    joined = called.translate(str.maketrans("", "", " _-"))
    if joined in known.terms:
        return joined
    near = get_close_matches(called, sorted(known.terms), n=1, cutoff=0.75) if len(called) > 3 else []
    return near[0] if near else ""


def look_at_terms(config: Config) -> Iterator[DoctorFinding]:
    """Values of conditions that are none of the standard's defined terms."""
    for one in undefined_terms(config.routes):
        fix = "What your devices write so may stay: `hilum routes explain FOLDER` shows what they write."
        yield DoctorFinding(area=Area.CONFIGURATION, subject="routes", level="warning", detail=one.sentence, fix=fix)


def look_at_definitions(config: Config) -> Iterator[DoctorFinding]:
    """Definitions that no route asks for."""
    used = {name for route in config.routes for name in definitions_in(route.asked)}
    for name in config.definitions:
        if name not in used:
            detail, fix = f'no route asks for the definition "{name}"', f"Ask for it by `is: {name}`, or take it out."
            yield DoctorFinding(area=Area.CONFIGURATION, subject="routes", level="warning", detail=detail, fix=fix)


def look_at_acceptances(config: Config) -> Iterator[DoctorFinding]:
    """Applications that a route wants accepted, and that are not, as they are served now."""
    from inference.applications.acceptance import untestable
    from node.assembly.compose import served
    from node.routing.gate import not_accepted

    for route in config.routes:
        for name, why in not_accepted(route, partial(served, config)).items():
            testable = not untestable(served(config, name))
            yield DoctorFinding(
                area=Area.MODELS,
                subject=f"application {name}",
                level="warning",
                detail=f'route "{route.name}": {why}',
                fix=f"`hilum evaluate {name} --data STUDIES`, then `hilum models accept {name}`; until then its jobs are parked."
                if testable
                else "Take `accepted: required` out of the route: each of its jobs would be parked.",
            )


def look_at_missing_models(config: Config) -> Iterator[DoctorFinding]:
    """Models of the routes' applications that were not imported; nothing is read of those that were."""
    from inference.engines.repository import Repository
    from inference.errors import HilumError
    from node.assembly.compose import application
    from node.cli.doctor.models import brought_by

    repository = Repository(config.models)
    for name in sorted({name for route in config.routes for name in route.run}):
        try:
            for model in application(config, name).models:
                if not repository.config(model).steps:  # an ensemble has no weights of its own
                    repository.weights(model)
        except HilumError as missing:
            fix = f"{brought_by(config, name)}; until then its jobs are parked."
            yield DoctorFinding(
                area=Area.MODELS, subject=f"application {name}", level="warning", detail=f"{name}: {missing} [{missing.code}]", fix=fix
            )
