"""What the digest of several models is, and of none."""

import hashlib
from dataclasses import replace

from inference.applications.catalog import load
from inference.engines.port import ModelRef
from node.flow.infer import method_digest, model_digest
from tests.unit.flow.mini import ThresholdEngine


def test_the_digest_of_several_models_depends_on_each_of_them() -> None:
    """One model: its own digest. Several: one over names, versions and digests, in any order."""
    first, second = ModelRef(name="a"), ModelRef(name="b", version=2)
    engine = ThresholdEngine()
    own = hashlib.sha256(b"weights-1").hexdigest()
    assert model_digest(engine, [first]) == own
    both = model_digest(engine, [first, second])
    assert both == model_digest(engine, [second, first]) == hashlib.sha256(f"a 1 {own}\nb 2 {own}".encode()).hexdigest()
    assert model_digest(engine, [first, replace(second, version=3)]) != both


def test_an_application_without_a_model_has_a_digest_for_each_version() -> None:
    """Its device and its results' UIDs differ from other applications', and from those of its own next version."""
    one = load("bright-lesion", ())
    assert one.models == ()
    digests = {method_digest(each) for each in (one, replace(one, version="9.0.0"), load("mr-register", ()))}
    assert len(digests) == 3
    assert method_digest(one) == hashlib.sha256(f"bright-lesion {one.version}, no model".encode()).hexdigest()
