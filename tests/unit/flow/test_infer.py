"""What the digest of several models is, and of none; and what of an answer is explained."""

import hashlib
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from inference import codes
from inference.applications.acceptance import digest_of
from inference.applications.catalog import load
from inference.engines.port import ModelRef
from inference.findings import Evaluation, Explanation, Findings
from inference.imaging.judge.radiograph import SIDE, learned
from inference.imaging.subject import Images
from inference.imaging.subjects import Assembled
from node.domain.job import Job, method_digest
from node.flow.infer import analysed
from tests.unit.flow.mini import ThresholdEngine
from tests.unit.imaging.judge.test_radiograph import image_of


def test_the_digest_of_several_models_depends_on_each_of_them() -> None:
    """One model: its own digest. Several: one over names, versions and digests, in any order."""
    first, second = ModelRef(name="a"), ModelRef(name="b", version=2)
    engine = ThresholdEngine()
    own = hashlib.sha256(b"weights-1").hexdigest()
    assert digest_of([first], engine.digest) == own
    both = digest_of([first, second], engine.digest)
    assert both == digest_of([second, first], engine.digest) == hashlib.sha256(f"a 1 {own}\nb 2 {own}".encode()).hexdigest()
    assert digest_of([first, replace(second, version=3)], engine.digest) != both


def test_an_application_without_a_model_has_a_digest_for_each_version() -> None:
    """Its device and its results' UIDs differ from other applications', and from those of its own next version."""
    one = load("bright-lesion", ())
    assert one.models == ()
    digests = {method_digest(each.name, each.version) for each in (one, replace(one, version="9.0.0"), load("mr-register", ()))}
    assert len(digests) == 3
    assert method_digest(one.name, one.version) == hashlib.sha256(f"bright-lesion {one.version}, no model".encode()).hexdigest()


def test_what_the_judge_leaves_out_is_not_explained_either() -> None:
    """Of a chest and its negative only the chest is answered; a map of what moved the other answer would be about nothing."""
    chest = learned().mean.reshape(SIDE, SIDE)
    pictures = [np.repeat(np.repeat(each, 8, axis=0), 8, axis=1) for each in (chest, -chest)]
    children = tuple(replace(image_of(each), patient_years=4) for each in pictures)
    images = Images(images=children, modality="DX", study_instance_uid="1", series_instance_uid="1.4")
    moved = np.zeros(pictures[0].shape, dtype=np.float32)
    application = replace(
        load("chest-xray", ()),
        models=(),
        analyse=lambda images, infer: Findings(
            evaluations=tuple(
                Evaluation(finding=codes.PNEUMONIA, value=codes.ABSENT, finding_site=codes.CHEST, images=(index,)) for index in range(2)
            )
        ),
        explain=lambda images, infer: tuple(
            Explanation(label="Occlusion sensitivity", values=moved, image=index, finding=codes.PNEUMONIA, quantity=codes.SALIENCY)
            for index in range(2)
        ),
    )
    job = cast(Job, SimpleNamespace(shortage=None))
    made = analysed(application, Assembled(subject=images, headers=()), cast(Any, None), job, explained=True, doubted=False)
    assert [each.images for each in made.findings.evaluations] == [(0,)]
    assert [each.image for each in made.findings.explanations] == [0]
