"""Contrast medium as headers name it: an agent, the word that none was given, or a word that says nothing."""

import re
from collections.abc import Iterable

from inference.errors import quoted

CONTRAST_AGENT, CONTRAST_AGENT_CODES = 0x00180010, 0x00180012
"""Contrast/Bolus Agent, and the sequence of its codes (PS3.3 C.7.6.4)."""

# what was not drunk says nothing of a vein
_SAYS_NOTHING = re.compile(
    r"n/?a|n\.a\.|unknown|unbekannt|unspecified|other|不[详明]|未知|[-?./\s]*|"
    r"no[ _-]oral(?: (?:contrast|cm))?(?: (?:given|used|administered))?",
    re.IGNORECASE,
)
# behind a word that none was given stands no figure: "keine Reaktion auf Imeron 400" names an agent
_SAYS_NONE = re.compile(
    r"none(?: (?:given|used|administered))?|not (?:given|used|administered)|no|n|nil|0|nihil|without|w/?o|"
    r"nativ(?:e[rsmn]?|o|a)?|plain|unenhanced|no[nt]?[ _-]?contrast|no[ _-](?:cm|i\.?v\.?)(?: \D*)?|"
    r"(?:ohne|kein\w*|sans|sin|senza|aucun\w*|geen|zonder|sem|nenhum|bez|brak|ingen|uden|utan|yok)(?: \D*)?|"
    # Chinese, Japanese, Korean, Russian: none, not used, a plain scan
    r"[无無否]|[无無]し|なし|没有|未(?:用|使用|增强|注射)|不用|[无無非](?:增强|造影)剤?|无(?:对比剂|造影剂)|平扫|単純|造影剤?(?:なし|無し)|"
    r"(?:조영제 ?)?(?:없음|미사용)|비조영|нет|без(?: \D*)?|не вводил\w*",
    re.IGNORECASE,
)


def agent_given(agent: str) -> bool | None:
    """Whether what stands as the agent says that one was given; None where it says nothing."""
    return None if _SAYS_NOTHING.fullmatch(agent.strip()) else _SAYS_NONE.fullmatch(agent.strip()) is None


def not_native(agents: Iterable[str], codes: Iterable[str]) -> str:
    """What agents and the codes of agents say against native images, for people; "" where they say nothing, or that none was given."""
    for agent in agents:
        if agent_given(agent):
            return f"ContrastBolusAgent is {quoted(agent)}: contrast medium was given"
    for code in codes:
        return f"ContrastBolusAgentSequence has {quoted(code)}: contrast medium was given"
    return ""
