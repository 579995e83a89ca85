"""The manifest of ct-head-bleed, and what it says of masks: how they are computed stands in `reading`, when it is sure in `agreement`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inference import codes
from inference.applications.ct_head_bleed.abc_half import ABC_HALF, abc_half_cm3
from inference.applications.ct_head_bleed.agreement import LEAST_CM3, Verdict, verdict
from inference.applications.ct_head_bleed.network import to_onnx
from inference.applications.ct_head_bleed.reading import BEYOND_MM, HAEMORRHAGES, MODELS, HeadLesion, Reading, on_source, read_head
from inference.applications.port import (
    Accepts,
    Application,
    EvaluationOutput,
    Golden,
    Infer,
    Licences,
    MeasurementOutput,
    ModelSource,
    SegmentOutput,
)
from inference.codes import Code
from inference.findings import Evaluation, Findings, Measurement, Segment
from inference.imaging.judge.expects import BodyPart, Expects
from inference.imaging.volume import Volume
from inference.translatable import Translatable, of_the_whole, say


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """How a class of the networks is told: a morphology, and where."""

    label: str
    words: Translatable
    type: Code
    site: Code
    rgb: tuple[int, int, int]


_TOLD = {
    HeadLesion.INTRAPARENCHYMAL: _Told(
        label="intraparenchymal haemorrhage",
        words=say("intraparenchymal haemorrhage"),
        type=codes.HEMORRHAGE,
        site=codes.BRAIN,
        rgb=(220, 0, 0),
    ),
    HeadLesion.EXTRA_AXIAL: _Told(
        label="extra-axial haemorrhage",
        words=say("extra-axial haemorrhage"),
        type=codes.HEMORRHAGE,
        site=codes.MENINGES,
        rgb=(250, 150, 30),
    ),
    HeadLesion.INTRAVENTRICULAR: _Told(
        label="intraventricular haemorrhage",
        words=say("intraventricular haemorrhage"),
        type=codes.HEMORRHAGE,
        site=codes.BRAIN_VENTRICLE,
        rgb=(190, 60, 220),
    ),
    HeadLesion.OEDEMA: _Told(label="oedema", words=say("oedema"), type=codes.EDEMA, site=codes.BRAIN, rgb=(90, 170, 230)),
}

GRADE = say(
    "Research only, not for diagnosis. Three of BLAST-CT's published networks, trained on 184 scans of head injuries; how often this "
    "program finds or misses a haemorrhage was not measured on patients."
)


def analyse(volume: Volume, infer: Infer) -> Findings:
    """Say whether there is haemorrhage, of which kinds, and how much.

    Raises
    ------
    NoHeadOnCT
    """
    reading = read_head(volume, infer)
    any_kind = verdict(reading, HAEMORRHAGES)
    kinds = {lesion: verdict(reading, (lesion,)) for lesion in _TOLD}
    if any_kind.value != codes.PRESENT and kinds[HeadLesion.OEDEMA].value == codes.PRESENT:
        kinds[HeadLesion.OEDEMA] = Verdict(value=codes.UNDETERMINED, alone_cm3=kinds[HeadLesion.OEDEMA].alone_cm3)
    segments = tuple(_segments(reading, kinds, volume))
    return Findings(
        segments=segments,
        measurements=_with_total([each for one in segments for each in _measurements(volume, one)]),
        evaluations=(
            Evaluation(finding=codes.INTRACRANIAL_HEMORRHAGE, value=any_kind.value, finding_site=codes.HEAD),
            *(Evaluation(finding=_TOLD[lesion].type, value=each.value, finding_site=_TOLD[lesion].site) for lesion, each in kinds.items()),
        ),
        remarks=(GRADE, *_remarks(reading, any_kind, kinds)),
    )


def _segments(reading: Reading, kinds: dict[HeadLesion, Verdict], volume: Volume) -> Iterator[Segment]:
    """What all networks together mark of what is not absent."""
    for lesion, each in kinds.items():
        if each.value == codes.ABSENT or reading.marked_cm3((lesion,)) < LEAST_CM3:
            continue
        mask = on_source(reading.together == lesion, reading.grid, volume)
        # what is thin may lie between two slices, where no mask shows it
        if mask.any():
            told = _TOLD[lesion]
            yield Segment(
                label=told.label,
                mask=mask,
                category=codes.MORPHOLOGICALLY_ABNORMAL_STRUCTURE,
                type=told.type,
                rgb=told.rgb,
                finding_site=told.site,
            )


def _measurements(volume: Volume, segment: Segment) -> Iterator[Measurement]:
    volume_cm3 = int(np.count_nonzero(segment.mask)) * volume.voxel_volume_mm3 / 1000
    yield Measurement(name=codes.VOLUME, value=volume_cm3, unit=codes.CUBIC_CENTIMETRE, segment=segment.label)
    if segment.label == _TOLD[HeadLesion.INTRAPARENCHYMAL].label:
        yield Measurement(
            name=ABC_HALF, value=abc_half_cm3(segment.mask, volume.spacing_mm), unit=codes.CUBIC_CENTIMETRE, segment=segment.label
        )


def _with_total(measured: list[Measurement]) -> tuple[Measurement, ...]:
    """And the volume of all haemorrhages together, where there are several kinds."""
    bleeds = {_TOLD[lesion].label for lesion in HAEMORRHAGES}
    volumes = [one for one in measured if one.name == codes.VOLUME and one.segment in bleeds]
    return (*measured, Measurement.sum_of(volumes, codes.INTRACRANIAL_HEMORRHAGE)) if len(volumes) > 1 else tuple(measured)


def _remarks(reading: Reading, any_kind: Verdict, kinds: dict[HeadLesion, Verdict]) -> Iterator[Translatable]:
    if any_kind.value == codes.UNDETERMINED:
        yield _disagreed(say("haemorrhage of any kind"), any_kind)
    for lesion, each in kinds.items():
        if each.value == codes.UNDETERMINED and lesion is not HeadLesion.OEDEMA:
            yield _disagreed(_TOLD[lesion].words, each)
    oedema = kinds[HeadLesion.OEDEMA]
    if oedema.value == codes.UNDETERMINED:
        yield say(
            "Oedema is undetermined: alone the networks mark {volumes} cm³. They know it beside lesions only; what is dark for another "
            "reason (old infarcts, wide fluid spaces) may be marked.",
            volumes=_in_cm3(oedema.alone_cm3),
        )
    yield of_the_whole(
        say(
            "Looked for in {searched} cm³, the inside of the skull and {beyond} mm around it; less than {least} cm³ of a kind in all is "
            "taken for nothing. Small and thin haemorrhages are missed.",
            searched=f"{reading.searched_cm3:.0f}",
            beyond=f"{BEYOND_MM:g}",
            least=f"{LEAST_CM3:g}",
        )
    )


def _disagreed(what: Translatable, each: Verdict) -> Translatable:
    return say("The three networks do not agree on {what}: alone they mark {volumes} cm³.", what=what, volumes=_in_cm3(each.alone_cm3))


def _in_cm3(volumes: Sequence[float]) -> str:
    return ", ".join(f"{each:.1f}" for each in volumes)


def _source(number: int, sha256: str, golden: Golden) -> ModelSource:
    model = MODELS[number - 1]
    return ModelSource(
        model=model,
        sha256=sha256,
        licence="Apache-2.0",
        attribution="BLAST-CT, Imperial College London (Monteiro, Newcombe and others, Lancet Digital Health 2:e314, 2020)",
        config=(Path(__file__).parent / "models" / f"{model.name}.pbtxt").read_text(encoding="utf-8"),
        file="model.onnx",
        published=f"biomedia-mira/blast-ct on GitHub, commit 96666a1, blast_ct/data/saved_models/model_{number}.pt",
        convert=to_onnx,
        golden=golden,
    )


APPLICATION = Application(
    name="ct-head-bleed",
    version="1.0.0",
    title="Haemorrhage and oedema on head CT",
    noun="Head haemorrhage",
    series=9,
    # a whole head in slices as thick as they are usual without contrast medium; a thin haemorrhage fills one or none of those
    accepts=Accepts(modality=("CT",), min_slices=15, max_spacing_mm=8.0, max_thickness_mm=8.0, min_extent_mm=100, orientation="axial"),
    models=MODELS,
    outputs=(
        *(SegmentOutput(label=told.label, type=told.type) for told in _TOLD.values()),
        MeasurementOutput(name=codes.VOLUME, unit=codes.CUBIC_CENTIMETRE),
        MeasurementOutput(name=ABC_HALF, unit=codes.CUBIC_CENTIMETRE),
        *(EvaluationOutput(finding=finding) for finding in (codes.INTRACRANIAL_HEMORRHAGE, codes.HEMORRHAGE, codes.EDEMA)),
    ),
    licences=Licences(code="Apache-2.0"),
    analyse=analyse,
    expects=Expects(part=BodyPart.HEAD, native=True, shown="the inside of a skull"),
    sources=(
        _source(
            1,
            "95f76e8b16fe42b6aa49388cb798e282c55cd70191544f4417445bb87803f99f",
            Golden(shape=(1, 1, 95, 95, 95), mean=-11.72730, deviation=0.67514),
        ),
        _source(
            2,
            "44621a70866c5d4a69a2011f258d2c2f17d86af047d384f858a74ae0151e149c",
            Golden(shape=(1, 1, 95, 95, 95), mean=-14.84238, deviation=0.52658),
        ),
        _source(
            3,
            "58c82cf9fa984266ffe56866e569241dfe41726f61101df963260da45fa4d120",
            Golden(shape=(1, 1, 95, 95, 95), mean=-8.48680, deviation=0.15192),
        ),
    ),
)
