"""What the digest of several models is."""

import hashlib
from dataclasses import replace

from inference.engines.port import ModelRef
from node.flow.infer import model_digest
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
