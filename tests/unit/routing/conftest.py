"""The node in miniature of the stages' tests, for what routing reads of a journal."""

from tests.unit.flow.conftest import make_node as make_node
from tests.unit.flow.conftest import node as node
