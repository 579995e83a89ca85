"""Contrast medium as headers name it: an agent, the word that none was given, or a word that says nothing."""

import re

from inference.errors import quoted

CONTRAST_AGENT = 0x00180010
"""Contrast/Bolus Agent (PS3.3 C.7.6.4)."""

_SAYS_NOTHING = re.compile(r"n/?a|n\.a\.|unknown|unbekannt|unspecified|other|[-?./\s]*", re.IGNORECASE)
_SAYS_NONE = re.compile(
    r"none|no|n|nil|0|nihil|without|w/?o|nativ(?:e[rsmn]?|o|a)?|plain|unenhanced|no[nt]?[ _-]?contrast|no[ _-]cm|"
    r"(?:ohne|kein\w*|sans|sin|senza|aucun\w*)(?: .*)?",
    re.IGNORECASE,
)


def agent_given(agent: str) -> bool | None:
    """Whether what stands as the agent says that one was given; None where it says nothing."""
    return None if _SAYS_NOTHING.fullmatch(agent.strip()) else _SAYS_NONE.fullmatch(agent.strip()) is None


def not_native(agent: str) -> str:
    """What an agent says against native images, for people; "" where it says nothing, or that none was given."""
    return f"ContrastBolusAgent is {quoted(agent)}: contrast medium was given" if agent_given(agent) else ""
