"""What page and card of a detector on single images say behind the figures: classes, FROC beside blobs, what probabilities are worth."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from training.evaluation.detection import RATES
from training.evaluation.detector import froc_curves, means
from training.evaluation.gallery import BoxedImage, boxed
from training.evaluation.page import Gallery, Parts, fragment

_NOTE = Markup(
    '<span class="key true"></span>box that was drawn <span class="key found"></span>box that was told, on what the network sees. With the '
    "average precision of the image by itself."
)


def boxes_parts(told: Mapping[str, Any], shown: Sequence[tuple[float | None, BoxedImage]]) -> Parts:
    """Of the record's `boxes`, with pictures of the best, the middle and the worst images, and of the figure that makes them so."""
    section = fragment(
        "boxes.html",
        classes=list(_rows(told)),
        plot=froc_curves("FROC curve", told["froc"], "log₂ of the false positives an image"),
        **means(told["froc"]),
        reported=f"{told['told from']:g}",
        images=told["images"],
        empty=told["empty"],
        reliability=list(_reliability(told)),
    )
    return Parts(section=section, gallery=Gallery(title="Hits and misses", note=_NOTE, pictures=boxed(shown), digits=3))


def boxes_table(told: Mapping[str, Any]) -> str:
    """The same as Markdown."""
    froc = told["froc"]
    several = froc["network"]["patients"] > 1
    lines = ["| class | boxes | average precision | of blobs | told | of these hits | blobs are |", "|---" * 7 + "|"]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row.values()) + " |" for row in _rows(told)]
    lines += ["", "| false positives an image | network | 95 % interval | blobs | 95 % interval |", "|---" * 5 + "|"]
    for at, rate in enumerate(RATES):
        points = [froc[name]["points"][at] for name in ("network", "classical")]
        lines.append(f"| {rate:g} | " + " | ".join(f"{_sure(one)} | {_ends(one['interval'], several)}" for one in points) + " |")
    wholes = [froc[name] for name in ("network", "classical")]
    lines.append("| mean | " + " | ".join(f"{one['mean']:.3f} | {_ends(one['interval'], several)}" for one in wholes) + " |")
    lines += ["", "| probability | boxes | said in the mean | hits |", "|---" * 4 + "|"]
    lines += ["| " + " | ".join(row.values()) + " |" for row in _reliability(told)]
    said = (
        f"Told is a box from probability {told['told from']:g} on, where precision and recall together (F1) were best on the validation "
        f"cases. {told['images']} images were held out, {told['empty']} of them without a box."
    )
    return "\n".join([*lines, "", said]) + "\n"


def _sure(point: Mapping[str, Any]) -> str:
    return f"{point['sensitivity']:.3f}"


def _ends(interval: Sequence[float], several: bool) -> str:
    return f"{interval[0]:.3f} to {interval[1]:.3f}" if several else "–"


def _rows(told: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    for one in told["classes"]:
        mine, other = ("–" if (value := one[key]) is None else f"{value:.3f}" for key in ("average precision", "baseline"))
        counts = {"told": str(one["told"]), "hits": str(one["hits"]), "blobs": one["blobs"]}
        yield {"name": one["name"], "boxes": str(one["boxes"]), "precision": mine, "baseline": other, **counts}


def _reliability(told: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    for one in told["reliability"]:
        said, hits = ("–" if (value := one[key]) is None else f"{value:.2f}" for key in ("said", "hits"))
        yield {"range": f"{one['from']:g} to {one['to']:g}", "boxes": str(one["boxes"]), "said": said, "hits": hits}
