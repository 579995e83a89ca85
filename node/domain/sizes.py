"""Numbers of bytes as people read them, beside each other."""

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_TOO_LONG = 999.5  # it would be rounded to a fourth digit
_MOST_DIGITS = 14  # a byte beside a TiB is told apart


def sizes(*of_bytes: int) -> tuple[str, ...]:
    """Three digits and a unit for each (`95.4 MiB`), and as many more for all as it takes to tell different ones apart."""
    for more in range(_MOST_DIGITS):
        texts = tuple(_text(one, more) for one in of_bytes)
        if len(set(texts)) == len(set(of_bytes)):
            break
    return texts


def _text(size: int, more: int) -> str:
    amount, unit = float(size), 0
    while amount >= _TOO_LONG and unit < len(_UNITS) - 1:
        amount, unit = amount / 1024, unit + 1
    if unit == 0:
        return f"{size} B"
    return f"{amount:.{(2 if amount < 9.995 else 1 if amount < 99.95 else 0) + more}f} {_UNITS[unit]}"
