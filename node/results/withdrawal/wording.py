"""The sentence of a withdrawal, in the reader's language."""

from collections.abc import Mapping

from node.domain.profile import Language
from node.domain.withdrawal import Rejection

MARK = "Withdrawn"
"""What the Series Description begins with, so that nobody takes the note for a result."""

_SAYS: Mapping[Language, Mapping[Rejection, str]] = {
    Language.ENGLISH: {
        Rejection.WRONG: (
            "Withdrawn: {what}. These objects were made from images that were wrong, mixed or incomplete. "
            "A later result or note of the same software stands in their place. Do not use them."
        ),
        Rejection.REPLACED: "Withdrawn: {what}. A later result of the same software stands in the place of these objects. Do not use them.",
    },
    Language.CHINESE: {
        Rejection.WRONG: "已撤回:{what}。这些对象基于错误、混杂或不完整的图像,已由同一软件的后续结果或说明取代。请勿使用。",
        Rejection.REPLACED: "已撤回:{what}。这些对象已由同一软件的后续结果取代。请勿使用。",
    },
}


def sentence(rejection: Rejection, what: str, language: Language) -> str:
    """What is withdrawn, why, and what to do."""
    return _SAYS[language][rejection].format(what=what)
