"""Series Descriptions: what the object is comes first, for lists of series show only so much of them."""

from node.results.port import Encoding

LONGEST_LO = 64
"""Characters of an LO element (PS3.5 6.2)."""
_SHORTEST_NOUN = 16
"""So much of what it is stays readable, as long as marks and the kind of object leave it room."""


def description_of(encoding: Encoding, what: str) -> str:
    """ "Brain volume SEG, mr-brain 1.0.0 [echo 1]", behind the marks of what a reader must know first.

    Of what is too long, application and version are cut first, which stand in the equipment of every object too, then the noun; never
    what kind of object it is, nor a mark, nor, while those leave room, the part.

    Parameters
    ----------
    what
        What kind of object it is, to people.
    """
    marks = "".join(f"{one.mark}: " for one in encoding.findings.cautions if one.mark)
    part = f" [{encoding.part}]" if encoding.part else ""
    application = encoding.application
    software = f", {application.name} {application.version}"
    noun = application.noun or application.title
    free = max(LONGEST_LO - len(marks) - len(what) - 1, 0)
    noun = _words(noun, min(max(free - len(part) - len(software), _SHORTEST_NOUN), free))
    lead = f"{marks}{noun} {what}" if noun else f"{marks}{what}"
    room = LONGEST_LO - len(lead) - len(part)
    # the name without its version before nothing of it, and half a name never
    said = next((one for one in (software, software.rpartition(" ")[0]) if len(one) <= room), "")
    return f"{lead}{said}{part}"[:LONGEST_LO].rstrip()


def _words(text: str, most: int) -> str:
    """The text, cut behind its last whole word that fits."""
    if len(text) <= most:
        return text
    kept = text[: most + 1].rpartition(" ")[0]
    return (kept or text[:most]).rstrip(" ,;:(")
