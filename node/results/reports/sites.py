"""Anatomic sites that may be told apart: which of them lies in which, wholly or in part.

Regional parts as Terminologia Anatomica (FIPAT, 2nd edition, 2019) orders them: lobes and segments of an organ, ventricles of the brain,
the organs of a cavity. "In part" stands beside it where a structure crosses a border, or where people say the one and mean the other: the
pleura, which covers the lung, and the cortex, of which each lobe of the brain has some. Codes are SNOMED CT's, meanings DICOM's (PS3.16)
where it has the code. A site that is not here is told apart from none.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from inference.codes import Code


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A code value of SNOMED CT, its meaning for people, and the meanings of the sites that it lies in, wholly or in part."""

    value: str
    meaning: str
    within: tuple[str, ...]


def _site(value: str, meaning: str, *within: str) -> Site:
    return Site(value=value, meaning=meaning, within=within)


SITES: tuple[Site, ...] = (
    _site("69536005", "Head"),
    _site("1101003", "Intracranial", "Head"),
    _site("89546000", "Skull", "Head"),
    _site("1231004", "Meninges", "Intracranial"),
    _site("18545000", "Dura mater", "Meninges"),
    _site("75042008", "Arachnoid", "Meninges"),
    _site("23180006", "Pia mater", "Meninges"),
    _site("35951006", "Subarachnoid space", "Meninges"),
    _site("12738006", "Brain", "Intracranial"),
    _site("35764002", "Brain ventricle", "Brain"),
    _site("66720007", "Lateral ventricle", "Brain ventricle"),
    _site("30399003", "Anterior horn lateral ventricle", "Lateral ventricle"),
    _site("52943005", "Posterior horn lateral ventricle", "Lateral ventricle"),
    _site("53118009", "Inferior horn of lateral ventricle", "Lateral ventricle"),
    _site("49841001", "Third ventricle", "Brain ventricle"),
    _site("35918002", "Fourth ventricle", "Brain ventricle"),
    _site("83251001", "Frontal lobe", "Brain"),
    _site("16630005", "Parietal lobe", "Brain"),
    _site("78277001", "Temporal lobe", "Brain"),
    _site("31065004", "Occipital lobe", "Brain"),
    _site("40146001", "Cerebral cortex", "Frontal lobe", "Parietal lobe", "Temporal lobe", "Occipital lobe"),
    _site("68523003", "Cerebral white matter", "Frontal lobe", "Parietal lobe", "Temporal lobe", "Occipital lobe"),
    _site("36169008", "Insula", "Cerebral cortex", "Cerebral white matter"),
    _site("5366008", "Hippocampus", "Temporal lobe", "Cerebral cortex"),
    _site("4958002", "Amygdala", "Temporal lobe"),
    _site("11000004", "Caudate nucleus", "Brain"),
    _site("89278009", "Putamen", "Brain"),
    _site("14738005", "Globus pallidus", "Brain"),
    _site("42695009", "Thalamus", "Brain"),
    _site("119238007", "Brain stem", "Brain"),
    _site("61962009", "Midbrain", "Brain stem"),
    _site("113305005", "Cerebellum", "Brain"),
    _site("25991003", "Cerebellar cortex", "Cerebellum"),
    _site("33060004", "Cerebellar white matter", "Cerebellum"),
    _site("45048000", "Neck"),
    _site("69748006", "Thyroid", "Neck"),
    _site("79163004", "Left lobe of thyroid", "Thyroid"),
    _site("29565003", "Right lobe of thyroid", "Thyroid"),
    _site("22943007", "Trunk"),
    # one region under two codes: of the whole chest, and of the thorax as a structure
    _site("816094009", "Chest", "Thoracic structure", "Trunk"),
    _site("51185008", "Thoracic structure", "Chest"),
    _site("76752008", "Breast", "Chest"),
    _site("39607008", "Lung", "Both lungs", "Chest"),
    _site("74101002", "Both lungs", "Lung"),
    _site("31094006", "Lobe of lung", "Lung"),
    _site("45653009", "Upper lobe of lung", "Lobe of lung"),
    _site("44714003", "Structure of upper lobe of left lung", "Upper lobe of lung"),
    _site("40020002", "Structure of middle lobe of lung", "Lobe of lung"),
    _site("72481006", "Middle lobe of right lung", "Structure of middle lobe of lung"),
    _site("90572001", "Lower lobe of lung", "Lobe of lung"),
    _site("39743006", "Anterior segment of right upper lobe", "Upper lobe of lung"),
    _site("3236000", "Posterior segment of right upper lobe", "Upper lobe of lung"),
    _site("22270008", "Anterior segment of left upper lobe", "Structure of upper lobe of left lung"),
    _site("3120008", "Pleura", "Chest", "Lung"),
    _site("91381003", "Pleural cavity", "Pleura"),
    _site("72410000", "Mediastinum", "Chest"),
    _site("80891009", "Heart", "Mediastinum"),
    _site("82471001", "Left atrium", "Heart"),
    _site("73829009", "Right atrium", "Heart"),
    _site("87878005", "Left ventricle", "Heart"),
    _site("53085002", "Right ventricle", "Heart"),
    _site("74281007", "Myocardium", "Left atrium", "Right atrium", "Left ventricle", "Right ventricle"),
    _site("76848001", "Pericardium", "Mediastinum", "Heart"),
    _site("25489000", "Pericardial cavity", "Pericardium"),
    _site("15825003", "Aorta", "Mediastinum", "Abdomen"),
    _site("113262008", "Thoracic aorta", "Aorta"),
    _site("54247002", "Ascending aorta", "Thoracic aorta"),
    _site("57034009", "Aortic arch", "Thoracic aorta"),
    _site("281130003", "Descending aorta", "Thoracic aorta", "Abdominal aorta"),
    _site("7832008", "Abdominal aorta", "Aorta"),
    _site("818981001", "Abdomen", "Trunk"),
    _site("10200004", "Liver", "Abdomen"),
    _site("71133005", "Couinaud hepatic segment I", "Liver"),
    _site("277956007", "Couinaud hepatic segment II", "Liver"),
    _site("277957003", "Couinaud hepatic segment III", "Liver"),
    _site("277958008", "Couinaud hepatic segment IV", "Liver"),
    _site("277959000", "Couinaud hepatic segment V", "Liver"),
    _site("277960005", "Couinaud hepatic segment VI", "Liver"),
    _site("277961009", "Couinaud hepatic segment VII", "Liver"),
    _site("277962002", "Couinaud hepatic segment VIII", "Liver"),
    _site("28231008", "Gallbladder", "Abdomen"),
    _site("78961009", "Spleen", "Abdomen"),
    _site("15776009", "Pancreas", "Abdomen"),
    _site("23451007", "Adrenal gland", "Abdomen"),
    _site("64033007", "Kidney", "Abdomen"),
    _site("25990002", "Renal pelvis", "Kidney"),
    _site("69695003", "Stomach", "Abdomen"),
    _site("30315005", "Small intestine", "Abdomen", "Pelvis"),
    _site("38848004", "Duodenum", "Small intestine"),
    _site("71854001", "Colon", "Abdomen", "Pelvis"),
    _site("816092008", "Pelvis", "Trunk", "Abdomen"),
    _site("89837001", "Bladder", "Pelvis"),
    _site("35039007", "Uterus", "Pelvis"),
    _site("41216001", "Prostate", "Pelvis"),
    _site("279706003", "Peripheral zone of the prostate", "Prostate"),
    _site("399384005", "Transition zone of the prostate", "Prostate"),
    _site("421060004", "Spine", "Neck", "Trunk", "Chest", "Abdomen"),
    _site("122494005", "Cervical spine", "Spine"),
    _site("122495006", "Thoracic spine", "Spine"),
    _site("122496007", "Lumbar spine", "Spine"),
)
"""By region, from the head down."""


def apart(one: Code, other: Code) -> bool:
    """Whether two sites are known to have nothing in common: neither lies in the other, wholly or in part.

    Of a site that is not in `SITES` nobody knows where it lies: it is apart from none.
    """
    known = _WITHIN.get(_key(one)), _WITHIN.get(_key(other))
    return all(known) and _key(one) not in (known[1] or ()) and _key(other) not in (known[0] or ())


def _key(code: Code) -> tuple[str, str]:
    return code.value, code.scheme


def _closed() -> Mapping[tuple[str, str], frozenset[tuple[str, str]]]:
    """Each site and all that it lies in, itself among them."""
    by_meaning = {one.meaning: one for one in SITES}

    def upwards(site: Site, seen: set[str]) -> Iterator[tuple[str, str]]:
        if site.meaning not in seen:
            seen.add(site.meaning)
            yield site.value, "SCT"
            for whole in site.within:
                yield from upwards(by_meaning[whole], seen)

    return {(one.value, "SCT"): frozenset(upwards(one, set())) for one in SITES}


_WITHIN = _closed()
