"""What an application expects of the pictures, read from application.json."""

from typing import Any

from inference.imaging.judge.expects import BodyPart, Contrast, Expects, Form, Marked, Plausible, View, VolumeRange


def expects_from(said: Any) -> Expects:
    """Expectations of what JSON holds of them; KeyError, TypeError or ValueError where it is none."""
    given = dict(said)
    part, contrast, view = given.pop("part", None), given.pop("contrast", None), given.pop("view", None)
    marked = tuple(Marked(segments=tupled(each["segments"]), form=Form(each["form"])) for each in given.pop("marked", ()))
    plausible = tuple(_plausible(each) for each in given.pop("plausible", ()))
    plain = {name: given.pop(name) for name in ("measured", "native", "own_borders", "shown") if name in given}
    if given:
        raise ValueError(f"expects has no {', '.join(sorted(given))}")
    return Expects(
        part=None if part is None else BodyPart(part),
        contrast=None if contrast is None else Contrast(contrast),
        view=None if view is None else View(view),
        marked=marked,
        plausible=plausible,
        **plain,
    )


def _plausible(said: Any) -> Plausible:
    given = dict(said)
    spans = tuple(VolumeRange(**{name: tupled(value) for name, value in each.items()}) for each in given.pop("spans"))
    return Plausible(spans=spans, **{name: tupled(value) for name, value in given.items()})


def tupled(value: Any) -> Any:
    """Lists as tuples, as frozen nouns have them."""
    return tuple(tupled(each) for each in value) if isinstance(value, list) else value
