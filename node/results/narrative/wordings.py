"""The languages that findings are told in."""

from collections.abc import Mapping

from node.domain.profile import Language
from node.results.narrative.chinese import Chinese
from node.results.narrative.english import English
from node.results.narrative.wording import Wording

WORDINGS: Mapping[Language, Wording] = {Language.ENGLISH: English(), Language.CHINESE: Chinese()}
