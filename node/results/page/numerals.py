"""Numbers and units as people read them, the same on pages, in narratives and in PDFs, whatever the language."""

from inference.codes import Code
from inference.findings import Measurement

_UNITS = {
    "1": "",
    "cm3": "mL",
    "ml": "mL",
    "mL": "mL",
    "mm3": "mm³",
    "mm2": "mm²",
    "cm2": "cm²",
    "um": "µm",
    "[hnsf'U]": "HU",
    "deg": "°",
    "Cel": "°C",
    "mm[Hg]": "mmHg",
    "mm2/s": "mm²/s",
    "um2/s": "µm²/s",
    "{SUVbw}g/ml": "g/mL SUVbw",
    "Bq/ml": "Bq/mL",
    "kg/m2": "kg/m²",
    "[arb'U]": "arb. units",
    "{ratio}": "",
    "{score}": "",
    "{counts}": "",
    "/min": "/min",
    "{H.B.}/min": "/min",
}
_MILLILITRES = "cm3"


def number(value: float) -> str:
    """Four significant digits, at least the whole part, a whole number as one; never 0 for what is not 0."""
    magnitude = abs(value)
    if magnitude < 1e9 and value == int(value):
        return str(int(value))
    if magnitude < 0.001 or magnitude >= 1e9:
        return f"{value:.3g}"
    decimals = 0 if magnitude >= 1000 else 1 if magnitude >= 100 else 2 if magnitude >= 1 else 4
    return f"{value:.{decimals}f}"


def unit(code: Code) -> str:
    """The unit as people write it; "" where there is none. One cm3 is one mL, which people read."""
    return _UNITS.get(code.value, code.value)


def quantity(one: Measurement) -> str:
    """Number and unit: "12.35 mL"."""
    sign = unit(one.unit)
    return f"{number(one.value)}{'' if sign in ('', '°') else ' '}{sign}"


def also(one: Measurement) -> str:
    """The same in the unit of the report where people read another: "12.35 cm³"; "" elsewhere."""
    return f"{number(one.value)} cm³" if one.unit.value == _MILLILITRES else ""


def certainty(share: float) -> str:
    """Per cent, whole; never 0 or 100 for what the reports say is neither."""
    percent = round(share * 100, 6)
    if 0 < percent < 0.5:
        return "<1 %"
    return ">99 %" if 99.5 <= percent < 100 else f"{percent:.0f} %"
