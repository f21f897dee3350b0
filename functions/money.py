"""Money as text: rupees in a decimal string, whole micro-rupees inside."""

from typing import Final

MONEY_PATTERN: Final = r"\A-?[0-9]{1,12}(?:\.[0-9]{1,6})?\Z"  # as `rupees` writes it; a report's DECIMAL(18,6) holds it


def micro(rupees: str) -> int:
    """Money text to integer micro-rupees, exactly.

    Raises: `ValueError` where the text is no number or has more than six decimals.

    >>> micro("1234.5"), micro("-0.000001"), micro("1000000")
    (1234500000, -1, 1000000000000)
    """
    sign, digits = (-1, rupees[1:]) if rupees.startswith("-") else (1, rupees)
    whole, _, fraction = digits.partition(".")
    if not (whole + fraction).isdecimal() or not whole or len(fraction) > 6:
        raise ValueError(f"not an amount in rupees with at most six decimals: {rupees!r}")
    return sign * (int(whole) * 1_000_000 + int(fraction.ljust(6, "0")))


def rupees(micro_rupees: int) -> str:
    """Integer micro-rupees to money text, exactly, without trailing zeros beyond the paisa.

    >>> rupees(1234500000), rupees(-1), rupees(0), rupees(1_230_000)
    ('1234.50', '-0.000001', '0.00', '1.23')
    """
    sign = "-" if micro_rupees < 0 else ""
    whole, fraction = divmod(abs(micro_rupees), 1_000_000)
    if fraction % 10_000 == 0:
        return f"{sign}{whole}.{fraction // 10_000:02d}"
    return f"{sign}{whole}.{fraction:06d}".rstrip("0")
