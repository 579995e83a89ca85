"""Structures by name: SNOMED CT codes, sites and colours for the names that published models give to what they draw.

Names, codes and colours of TotalSegmentator's classes are those that its authors publish with it (totalsegmentator 2.18.0, Apache-2.0), but
for one: the gluteus minimus of both sides together has its own code here. Codes of organs are those of DICOM's context groups for
segmentation (CID 7151 and others). Names and colours of the brain are those of FreeSurfer's segmentation (aseg, FreeSurferColorLUT.txt),
codes those of CID 7140; its parcels of the cortex are not here. Tumour regions are called as in the BraTS challenges; their whole tumour,
which has the oedema around it in it, is no neoplasm and is not here. How a name is looked up stands in `names`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from inference import codes
from inference.codes import Code

Rgb = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Coded:
    """What a structure is, as SegmentSequence says it (PS3.3 C.8.20.4).

    Attributes
    ----------
    site
        AnatomicRegionSequence: where it is, of what is no organ itself.
    rgb
        The colour that its publisher gives it, 0-255 each; None where nobody gave one.
    """

    category: Code
    type: Code
    laterality: Code | None = None
    site: Code | None = None
    rgb: Rgb | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Coloured:
    """A structure and its colours: of the one in the middle or of both sides together, of the left one, of the right one."""

    of: Coded
    colours: tuple[Rgb | None, Rgb | None, Rgb | None]

    def on(self, side: Code | None) -> Coded:
        """The structure of one side, or of none that is said."""
        return replace(self.of, laterality=side, rgb=self.colours[_PLACES[side]])


_PLACES = {None: 0, codes.LEFT: 1, codes.RIGHT: 2}


def rgb(digits: str) -> Rgb | None:
    """A colour by its six hexadecimal digits, None for ""."""
    return (int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:6], 16)) if digits else None


def _row(category: Code, value: str, meaning: str, colours: str, at: Code | None = None, scheme: str = "SCT") -> Coloured:
    middle, left, right = [*colours.split("/"), "", ""][:3]
    made = Coded(category=category, type=Code(value, scheme, meaning), site=at)
    return Coloured(of=made, colours=(rgb(middle), rgb(left), rgb(right)))


def _anatomy(value: str, meaning: str, colours: str = "", at: Code | None = None) -> Coloured:
    return _row(codes.ANATOMICAL_STRUCTURE, value, meaning, colours, at)


def _lesion(value: str, meaning: str, colours: str = "", at: Code | None = None) -> Coloured:
    return _row(codes.MORPHOLOGICALLY_ABNORMAL_STRUCTURE, value, meaning, colours, at)


def _tissue(value: str, meaning: str, colours: str, at: Code | None = None) -> Coloured:
    return _row(codes.TISSUE, value, meaning, colours, at)


def _both(digits: str) -> str:
    """One colour, of whichever side."""
    return "/".join([digits] * 3)


_BRAIN_SITE = Code("12738006", "SCT", "Brain")

_BRAIN = {
    "3rd ventricle": _anatomy("49841001", "Third ventricle", "CCB68E"),
    "4th ventricle": _anatomy("35918002", "Fourth ventricle", "2ACCA4"),
    "5th ventricle": _anatomy("74968005", "Cavum of septum pellucidum", "78BE96"),
    "accumbens area": _anatomy("427667007", "Nucleus accumbens", _both("FFA500")),
    "amygdala": _anatomy("4958002", "Amygdala", _both("67FFFF")),
    "brain stem": _anatomy("119238007", "Brain stem", "779FB0"),
    "caudate": _anatomy("11000004", "Caudate nucleus", _both("7ABADC")),
    "cerebellum cortex": _anatomy("25991003", "Cerebellar cortex", _both("E69422")),
    "cerebellum white matter": _anatomy("33060004", "Cerebellar white matter", _both("DCF8A4")),
    "cerebellum": _anatomy("113305005", "Cerebellum"),
    "cerebral cortex": _anatomy("40146001", "Cerebral cortex", _both("CD3E4E")),
    "cerebral white matter": _anatomy("68523003", "Cerebral white matter", _both("F5F5F5")),
    "corpus callosum": _anatomy("88442005", "Corpus callosum"),
    "csf": _row(codes.BODY_SUBSTANCE, "65216001", "Cerebrospinal fluid", "3C3C3C"),
    "inf lat vent": _anatomy("53118009", "Inferior horn of lateral ventricle", _both("C43AFA")),
    "insula": _anatomy("36169008", "Insula"),
    "lateral ventricle": _anatomy("66720007", "Lateral ventricle", _both("781286")),
    "optic chiasm": _anatomy("244453006", "Optic chiasm", "EAA91E"),
    "pallidum": _anatomy("14738005", "Globus pallidus", "/0C30FF/0D30FF"),
    "putamen": _anatomy("89278009", "Putamen", _both("EC0DB0")),
    "thalamus": _anatomy("42695009", "Thalamus", _both("00760E")),
    "ventraldc": _row(codes.ANATOMICAL_STRUCTURE, "110700", "Ventral Diencephalon", _both("A52A2A"), scheme="DCM"),
    "wm hypointensities": _row(
        codes.MORPHOLOGICALLY_ABNORMAL_STRUCTURE, "110701", "White Matter T1 Hypointensity", "C846FF", _BRAIN_SITE, "DCM"
    ),
    "wm hyperintensities": _row(
        codes.MORPHOLOGICALLY_ABNORMAL_STRUCTURE, "110702", "White Matter T2 Hyperintensity", "", _BRAIN_SITE, "DCM"
    ),
}
_TUMOUR = {
    "enhancing tumor": _row(codes.MORPHOLOGICALLY_ABNORMAL_STRUCTURE, "C113842", "Enhancing Lesion", "", scheme="NCIt"),
    "non enhancing tumor": _row(codes.MORPHOLOGICALLY_ABNORMAL_STRUCTURE, "C81175", "Non-Enhancing Lesion", "", scheme="NCIt"),
}
_VESSELS = {
    "abdominal aorta": _anatomy("7832008", "Abdominal aorta"),
    "anterior cerebral artery": _anatomy("60176003", "Anterior cerebral artery"),
    "anterior communicating artery": _anatomy("8012006", "Anterior communicating artery"),
    "aortic arch": _anatomy("57034009", "Aortic arch"),
    "artery": _anatomy("51114001", "Artery"),
    "ascending aorta": _anatomy("54247002", "Ascending aorta"),
    "azygos vein": _anatomy("72107004", "Azygos vein"),
    "basilar artery": _anatomy("59011009", "Basilar artery"),
    "blood vessel": _anatomy("59820001", "Blood vessel"),
    "celiac trunk": _anatomy("57850000", "Truncus coeliacus"),
    "circle of willis": _anatomy("11279006", "Circle of Willis"),
    "common hepatic artery": _anatomy("66559000", "Common hepatic artery"),
    "descending aorta": _anatomy("281130003", "Descending aorta"),
    "external carotid artery": _anatomy("22286001", "External carotid artery"),
    "external iliac artery": _anatomy("113269004", "External iliac artery"),
    "femoral artery": _anatomy("7657000", "Femoral artery"),
    "hepatic artery": _anatomy("76015000", "Hepatic artery"),
    "hepatic vein": _anatomy("8993003", "Hepatic vein"),
    "inferior mesenteric artery": _anatomy("33795007", "Inferior mesenteric artery"),
    "inferior mesenteric vein": _anatomy("32859001", "Inferior mesenteric vein"),
    "internal carotid artery": _anatomy("86117002", "Internal carotid artery"),
    "internal iliac artery": _anatomy("90024005", "Internal iliac artery"),
    "internal jugular vein": _anatomy("12123001", "Internal jugular vein"),
    "left pulmonary artery": _anatomy("50408007", "Left pulmonary artery"),
    "middle cerebral artery": _anatomy("17232002", "Middle cerebral artery"),
    "portal vein": _anatomy("32764006", "Portal vein"),
    "posterior cerebral artery": _anatomy("70382005", "Posterior cerebral artery"),
    "posterior communicating artery": _anatomy("43119007", "Posterior communicating artery"),
    "pulmonary trunk": _anatomy("45341000", "Trunk of pulmonary artery"),
    "renal artery": _anatomy("2841007", "Renal artery"),
    "renal vein": _anatomy("56400007", "Renal vein"),
    "right pulmonary artery": _anatomy("78480002", "Right pulmonary artery"),
    "splenic artery": _anatomy("22083002", "Splenic artery"),
    "splenic vein": _anatomy("35819009", "Splenic vein"),
    "subclavian vein": _anatomy("9454009", "Subclavian vein"),
    "superior mesenteric artery": _anatomy("42258001", "Superior mesenteric artery"),
    "superior mesenteric vein": _anatomy("90771006", "Superior mesenteric vein"),
    "thoracic aorta": _anatomy("113262008", "Thoracic aorta"),
    "vein": _anatomy("29092000", "Vein"),
    "vertebral artery": _anatomy("85234005", "Vertebral artery"),
}

_RIBS = (
    ("48535007", "First rib", "/D636D8/5B9EFD"),
    ("78247007", "Second rib", "/B536D8/D3D836"),
    ("25888004", "Third rib", "/D836A2/D8363B"),
    ("25523003", "Fourth rib", "/3679D8/D83643"),
    ("15339008", "Fifth rib", "/36D892/9DD836"),
    ("59558009", "Sixth rib", "/79D836/D836BD"),
    ("24915002", "Seventh rib", "/9536D8/D83684"),
    ("5953002", "Eighth rib", "/D85136/D8CB36"),
    ("22565002", "Ninth rib", "/D836A7/D8C536"),
    ("77644006", "Tenth rib", "/3692D8/D89F36"),
    ("58830002", "Eleventh rib", "/9EFD5B/3687D8"),
    ("43993008", "Twelfth rib", "/D83656/B5D836"),
)
_VERTEBRAE = {
    "C1": ("14806007", "F2D9B6"),
    "C2": ("39976000", "17FEDB"),
    "C3": ("113205007", "3C2300"),
    "C4": ("5329002", "614825"),
    "C5": ("36978003", "866D4A"),
    "C6": ("36054005", "AB926F"),
    "C7": ("87391001", "D0B794"),
    "T1": ("64864005", "AE9572"),
    "T2": ("53733008", "D3BA97"),
    "T3": ("1626008", "F8DFBC"),
    "T4": ("73071006", "1D04E1"),
    "T5": ("56401006", "422906"),
    "T6": ("45296009", "674E2B"),
    "T7": ("62487009", "8C7350"),
    "T8": ("11068009", "B19875"),
    "T9": ("82687006", "D6BD9A"),
    "T10": ("7610001", "FBE2BF"),
    "T11": ("12989004", "2007E4"),
    "T12": ("23215003", "452C09"),
    "L1": ("66794005", "F5DCB9"),
    "L2": ("14293000", "1A01DE"),
    "L3": ("36470004", "3F2603"),
    "L4": ("11994002", "644B28"),
    "L5": ("49668003", "89704D"),
    "S1": ("65985001", "CDB491"),
}

STRUCTURES: Mapping[str, Coloured] = {
    "adrenal gland": _anatomy("23451007", "Adrenal gland", "D2961E/F1AC22/B2801A"),
    "aorta": _anatomy("15825003", "Aorta", "D86C36"),
    "atrial appendage": _anatomy("68786006", "Auricular appendage", "/44F83E/"),
    "autochthon": _anatomy("244849004", "Deep muscle of back", "D26E32/F17E39/B25E2A"),
    "body extremities": _anatomy("66019005", "Limb", "D8D036"),
    "body trunc": _anatomy("22943007", "Trunk", "D836B2"),
    "brachiocephalic trunk": _anatomy("12691009", "Brachiocephalic artery", "BE0A0A"),
    "brachiocephalic vein": _anatomy("8887007", "Brachiocephalic vein", "/005CF1/0044B2"),
    "brain": _anatomy("12738006", "Brain", "D83695"),
    "carpal": _anatomy("83936004", "Carpus", "D836CD"),
    "clavicle": _anatomy("51299004", "Clavicle", "E1CDAF/FFECC9/BFAE95"),
    "colon": _anatomy("71854001", "Colon", "9628AA"),
    "common carotid artery": _anatomy("32062004", "Common carotid artery", "/E61717/AA1111"),
    "coronary artery": _anatomy("41801008", "Coronary artery", "C80000"),
    "costal cartilage": _anatomy("50016007", "Costal cartilage", "FADCBE"),
    "duodenum": _anatomy("38848004", "Duodenum", "AA50BE"),
    "esophagus": _anatomy("32849002", "Esophagus", "BE5AAA"),
    "face": _anatomy("89545001", "Face", "C0D836"),
    "femur": _anatomy("71341001", "Femur", "D83638/F8D43E/2EB83C"),
    "fibula": _anatomy("87342007", "Fibula", "36D843"),
    "gallbladder": _anatomy("28231008", "Gallbladder", "36D877"),
    "gluteus maximus": _anatomy("181674001", "Gluteus maximus muscle", "DC641E/FD7322/BB551A"),
    "gluteus medius": _anatomy("78333006", "Gluteus medius muscle", "E66E28/FF7E2E/C45E22"),
    "gluteus minimus": _anatomy("75297007", "Gluteus minimus muscle", "F07832/FF8A39/CC662A"),
    "heart myocardium": _anatomy("74281007", "Myocardium", "C80014"),
    "heart": _anatomy("80891009", "Heart", "B40028"),
    "hip": _anatomy("29836001", "Hip", "D8B836/E6F83E/B82EB8"),
    "hippocampus": _anatomy("5366008", "Hippocampus", _both("DCD814")),
    "humerus": _anatomy("85050009", "Humerus", "D86F36/473EF8/732EB8"),
    "iliac artery": _anatomy("73634005", "Common iliac artery", "BE0000/DA0000/A20000"),
    "iliac vein": _anatomy("46027005", "Common iliac vein", "0050C8/005CE6/0044AA"),
    "iliopsoas": _anatomy("68455001", "Iliopsoas muscle", "C86428/E6732E/AA5522"),
    "inferior vena cava": _anatomy("64131007", "Inferior vena cava", "0046C8"),
    "kidney": _anatomy("64033007", "Kidney", "2878A0/2E8AB8/226688"),
    "left heart atrium": _anatomy("82471001", "Left atrium", "B80045"),
    "left heart ventricle": _anatomy("87878005", "Left ventricle of heart", "A1005C"),
    "liver vessel": _anatomy("59820001", "Blood vessel", "3CA03C", at=Code("10200004", "SCT", "Liver")),
    "liver": _anatomy("10200004", "Liver", "288C28"),
    "lung lower lobe": _anatomy("90572001", "Lower lobe of lung", "/22C3CF/1A9099"),
    "lung pleural": _anatomy("3120008", "Pleural membrane", "28C8D2"),
    "lung trachea bronchia": _anatomy("110726009", "Trachea and bronchus", "25D9ED"),
    "lung upper lobe": _anatomy("45653009", "Upper lobe of lung", "/47E8F4/64DAE3"),
    "lung vessel": _anatomy("59820001", "Blood vessel", "0096BE", at=Code("39607008", "SCT", "Lung")),
    "lung": _anatomy("39607008", "Lung"),
    "metacarpal": _anatomy("36455000", "Metacarpal bones", "D836D8"),
    "metatarsal": _anatomy("53884002", "Metatarsal", "D89736"),
    "pancreas": _anatomy("15776009", "Pancreas", "3C9650"),
    "patella": _anatomy("64234005", "Patella", "E5FD5B"),
    "phalanges feet": _anatomy("28641004", "Phalanx structure", "36C8D8"),
    "phalanges hand": _anatomy("28641004", "Phalanx structure", "5336D8"),
    "portal vein and splenic vein": _anatomy("110765007", "Portal vein and splenic vein", "005ADC"),
    "prostate": _anatomy("41216001", "Prostate", "5BFD9C"),
    "pulmonary artery": _anatomy("81040000", "Pulmonary artery", "B40000"),
    "pulmonary vein": _anatomy("122972007", "Pulmonary vein", "256BED"),
    "radius": _anatomy("62413002", "Radius", "A2D836"),
    "rib": _anatomy("113197003", "Rib", "E6D2B4"),
    "right heart atrium": _anatomy("73829009", "Right atrium", "880033"),
    "right heart ventricle": _anatomy("53085002", "Right ventricle of heart", "770044"),
    "right lung middle lobe": _anatomy("72481006", "Middle lobe of right lung", "3FB5BE"),
    "sacrum": _anatomy("54735007", "Sacrum", "64D836"),
    "scapula": _anatomy("79601000", "Scapula", "DCC8AA/FDE6C3/BBAA90"),
    "skeletal muscle": _anatomy("127954009", "Skeletal muscle", "E68228"),
    "skull": _anatomy("89546000", "Skull", "F5E1C8"),
    "small bowel": _anatomy("30315005", "Small Intestine", "A03CB4"),
    "spinal cord": _anatomy("2748008", "Spinal cord", "FFD700"),
    "spleen": _anatomy("78961009", "Spleen", "32AA3C"),
    "sternum": _anatomy("56873002", "Sternum", "D7C3A5"),
    "stomach": _anatomy("69695003", "Stomach", "B446A0"),
    "subclavian artery": _anatomy("29700009", "Subclavian artery", "/DA2222/A21A1A"),
    "superior vena cava": _anatomy("48345005", "Superior vena cava", "4A9012"),
    "tarsal": _anatomy("108371006", "Tarsal bones", "C3D836"),
    "thyroid gland": _anatomy("69748006", "Thyroid gland", "FAD23C"),
    "tibia": _anatomy("12611008", "Tibia", "D83692"),
    "trachea": _anatomy("44567001", "Trachea", "00B4C8"),
    "ulna": _anatomy("23416004", "Ulna", "B236D8"),
    "urinary bladder": _anatomy("89837001", "Urinary bladder", "365ED8"),
    "vertebra": _anatomy("51282000", "Vertebra"),
    "vertebrae body": _anatomy("3572006", "Vertebral body", "BEA082"),
    "vertebrae cervical": _anatomy("51282000", "Vertebra", "B49B78", at=Code("122494005", "SCT", "Cervical spine")),
    "vertebrae lumbar": _anatomy("51282000", "Vertebra", "6A512E", at=Code("122496007", "SCT", "Lumbar spine")),
    "vertebrae thoracic": _anatomy("51282000", "Vertebra", "8F7653", at=Code("122495006", "SCT", "Thoracic spine")),
    "subcutaneous fat": _tissue("67769002", "Subcutaneous fatty tissue", "FFF2B2"),
    "torso fat": _tissue("55603005", "Fat", "FAEBA0", at=Code("22943007", "SCT", "Trunk")),
    "edema": _lesion("79654002", "Edema"),
    "intracerebral hemorrhage": _lesion("50960005", "Hemorrhage", "DC0000", at=Code("12738006", "SCT", "Brain")),
    "kidney cyst": _lesion("367643001", "Cyst", "/53AFDD/478BAD", at=Code("64033007", "SCT", "Kidney")),
    "lesion": _lesion("52988006", "Lesion"),
    "liver tumor": _lesion("108369006", "Neoplasm", "FF00C8", at=Code("10200004", "SCT", "Liver")),
    "lung covid infiltrate": _lesion("47351003", "Infiltrate", "FF5A00", at=Code("39607008", "SCT", "Lung")),
    "necrosis": _lesion("6574001", "Necrosis"),
    "neoplasm": _lesion("108369006", "Neoplasm"),
    "pancreatic tumor": _lesion("108369006", "Neoplasm", at=Code("15776009", "SCT", "Pancreas")),
    "pericardial effusion": _lesion("41699000", "Effusion", "00C8FF", at=Code("25489000", "SCT", "Pericardial cavity")),
    "pleural effusion": _lesion("41699000", "Effusion", "00D2FF", at=Code("91381003", "SCT", "Pleural cavity")),
    "hip implant": _row(codes.PHYSICAL_OBJECT, "40388003", "Implant", "787878", Code("24136001", "SCT", "Hip joint")),
    **_BRAIN,
    **_TUMOUR,
    **_VESSELS,
    **{f"rib {number}": _anatomy(*said) for number, said in enumerate(_RIBS, start=1)},
    **{f"vertebra {name.lower()}": _anatomy(value, f"{name} vertebra", colour) for name, (value, colour) in _VERTEBRAE.items()},
}
"""By the words of the name, the side first where the structure is of one side alone ("left heart atrium")."""

ALIASES: Mapping[str, str] = {
    "accumbens": "accumbens area",
    "adrenal": "adrenal gland",
    "brainstem": "brain stem",
    "bladder": "urinary bladder",
    "caudate nucleus": "caudate",
    "celiac artery": "celiac trunk",
    "celiac axis": "celiac trunk",
    "cerebellar cortex": "cerebellum cortex",
    "cerebellar white matter": "cerebellum white matter",
    "cerebrospinal fluid": "csf",
    "clavicula": "clavicle",
    "coronary arteries": "coronary artery",
    "costal cartilages": "costal cartilage",
    "enhancing lesion": "enhancing tumor",
    "enhancing tumour": "enhancing tumor",
    "fourth ventricle": "4th ventricle",
    "gd enhancing tumor": "enhancing tumor",
    "globus pallidus": "pallidum",
    "hepatic vessel": "liver vessel",
    "hepatic vessels": "liver vessel",
    "iliac vena": "iliac vein",
    "inferior lateral ventricle": "inf lat vent",
    "ivc": "inferior vena cava",
    # as the bundle of a published model spells it
    "kideny": "kidney",
    "left atrium": "left heart atrium",
    "liver vessels": "liver vessel",
    "lung vessels": "lung vessel",
    "necrotic core": "necrosis",
    "necrotic tumor core": "necrosis",
    "non enhancing tumour": "non enhancing tumor",
    "nucleus accumbens": "accumbens area",
    "oedema": "edema",
    "oesophagus": "esophagus",
    "pancreas tumor": "pancreatic tumor",
    "pancreas tumour": "pancreatic tumor",
    "pancreatic tumour": "pancreatic tumor",
    "peritumoral edema": "edema",
    "peritumoral oedema": "edema",
    "peritumoural oedema": "edema",
    "portal and splenic veins": "portal vein and splenic vein",
    "ribs": "rib",
    "right atrium": "right heart atrium",
    "small intestine": "small bowel",
    "thalamus proper": "thalamus",
    "third ventricle": "3rd ventricle",
    "thyroid": "thyroid gland",
    "tumor core": "neoplasm",
    "tumor": "neoplasm",
    "tumour core": "neoplasm",
    "tumour": "neoplasm",
    "vessel": "blood vessel",
    "vessels": "blood vessel",
    "ventral dc": "ventraldc",
    "ventral diencephalon": "ventraldc",
}
"""Other words for some of them."""

UNPAIRED: frozenset[str] = frozenset(
    {
        *("3rd ventricle", "4th ventricle", "5th ventricle", "brain", "brain stem", "corpus callosum", "csf", "optic chiasm"),
        *(
            "abdominal aorta",
            "anterior communicating artery",
            "aorta",
            "aortic arch",
            "ascending aorta",
            "descending aorta",
            "thoracic aorta",
        ),
        *("azygos vein", "basilar artery", "brachiocephalic trunk", "celiac trunk", "circle of willis", "common hepatic artery"),
        *("hepatic artery", "hepatic vein", "inferior mesenteric artery", "inferior mesenteric vein", "inferior vena cava", "liver vessel"),
        *("portal vein", "portal vein and splenic vein", "pulmonary trunk", "splenic artery", "splenic vein", "superior mesenteric artery"),
        *("superior mesenteric vein", "superior vena cava", "body trunc", "colon", "duodenum", "esophagus", "gallbladder", "heart"),
        *(
            "heart myocardium",
            "liver",
            "liver tumor",
            "lung trachea bronchia",
            "pancreas",
            "pancreatic tumor",
            "pericardial effusion",
            "prostate",
            "sacrum",
        ),
        *(
            "skull",
            "small bowel",
            "spinal cord",
            "spleen",
            "sternum",
            "stomach",
            "thyroid gland",
            "torso fat",
            "trachea",
            "urinary bladder",
        ),
        *(name for name in STRUCTURES if name.startswith("vertebra")),
    }
)
"""Of `STRUCTURES`: what a body has once. With a side its name means a half of it, a branch, or another structure ("right heart")."""
