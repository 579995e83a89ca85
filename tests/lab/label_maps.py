"""DCMTK's `storescp` set up as an archive that takes label maps, in the transfer syntaxes that a test names."""

from collections.abc import Sequence
from pathlib import Path

from tests.lab.dcmtk import StoreScp

LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
"""Label Map Segmentation Storage, which DCMTK 3.6.7 does not know by name; a profile names any SOP class by its UID."""

_OTHERS = (
    "VerificationSOPClass",
    "SegmentationStorage",
    "Comprehensive3DSRStorage",
    "EnhancedSRStorage",
    "SecondaryCaptureImageStorage",
    "ParametricMapStorage",
    "EncapsulatedPDFStorage",
)


def takes_label_maps(folder: Path, *, aet: str, syntaxes: Sequence[str], compressed: Sequence[str] = ()) -> StoreScp:
    """A receiver of result objects.

    Parameters
    ----------
    syntaxes
        Of label maps, as DCMTK spells them: "LittleEndianExplicit", "RLELossless", …
    compressed
        Of everything else, besides the uncompressed ones.
    """
    plain = ("LittleEndianExplicit", "LittleEndianImplicit")
    profile = folder / f"{aet}.cfg"
    folder.mkdir(parents=True, exist_ok=True)
    contexts = [f"{LABEL_MAP}\\Labels", *(f"{name}\\Others" for name in _OTHERS)]
    profile.write_text(
        "[[TransferSyntaxes]]\n"
        + "".join(
            f"[{name}]\n{_numbered('TransferSyntax', words)}" for name, words in (("Labels", syntaxes), ("Others", (*compressed, *plain)))
        )
        + f"[[PresentationContexts]]\n[Results]\n{_numbered('PresentationContext', contexts)}"
        + "[[Profiles]]\n[Default]\nPresentationContexts = Results\n"
    )
    # bit-preserving: what it keeps is what came
    return StoreScp(folder / aet, aet=aet, accepts=("-xf", str(profile), "Default"), options=("+B",))


def _numbered(word: str, values: Sequence[str]) -> str:
    return "".join(f"{word}{number} = {value}\n" for number, value in enumerate(values, 1))
