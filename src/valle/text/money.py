"""Amounts of money as they are read: "$5.20", "US$1.5B", "$10-15", "1.234,56 €", "a $5 bill"."""

from __future__ import annotations

import re
from re import Match

from valle.text.context import describes_noun
from valle.text.numbers import to_cardinal, to_number
from valle.text.patterns import AMOUNT, DASH, NUMBER, SPACE, Rule, rule
from valle.text.units import name_denominator

# fmt: off
MAGNITUDES = {
    "k": "thousand", "m": "million", "mn": "million", "mm": "million", "bn": "billion",
    "b": "billion", "tn": "trillion", "t": "trillion", "mil": "million",
}
# singular and plural of the currency, singular and plural of its cents
_CURRENCIES = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "€": ("euro", "euros", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "¥": ("yen", "yen", "", ""),
    "₹": ("rupee", "rupees", "paisa", "paise"),
    "₩": ("won", "won", "", ""),
    "₤": ("pound", "pounds", "penny", "pence"), "₵": ("cedi", "cedis", "", ""),
    "₸": ("tenge", "tenge", "", ""), "₾": ("lari", "lari", "", ""),
    "₼": ("manat", "manat", "", ""), "₡": ("colon", "colones", "", ""),
    "₽": ("ruble", "rubles", "kopeck", "kopecks"),
    "₿": ("bitcoin", "bitcoins", "", ""),
    "₪": ("shekel", "shekels", "", ""), "₺": ("lira", "lira", "", ""),
    "₴": ("hryvnia", "hryvnias", "", ""), "₦": ("naira", "naira", "", ""),
    "₱": ("peso", "pesos", "", ""), "₫": ("dong", "dong", "", ""), "฿": ("baht", "baht", "", ""),
}
_DOLLARS = {
    "US": "US", "C": "Canadian", "CA": "Canadian", "CAD": "Canadian", "A": "Australian",
    "AU": "Australian", "AUD": "Australian", "NZ": "New Zealand", "HK": "Hong Kong",
    "S": "Singapore", "SG": "Singapore", "NT": "New Taiwan",
}
_CODES = {
    "USD": ("US dollar", "US dollars", "cent", "cents"),
    "EUR": _CURRENCIES["€"], "GBP": _CURRENCIES["£"], "JPY": _CURRENCIES["¥"],
    "INR": _CURRENCIES["₹"], "BTC": _CURRENCIES["₿"],
    "CHF": ("Swiss franc", "Swiss francs", "", ""), "CNY": ("yuan", "yuan", "", ""),
    "RMB": ("renminbi", "renminbi", "", ""), "SEK": ("Swedish krona", "Swedish kronor", "", ""),
    "NOK": ("Norwegian krone", "Norwegian kroner", "", ""),
    "DKK": ("Danish krone", "Danish kroner", "", ""), "PLN": ("zloty", "zloty", "", ""),
    "MXN": ("Mexican peso", "Mexican pesos", "", ""), "ZAR": ("rand", "rand", "", ""),
    "BRL": ("real", "reais", "", ""), "KRW": _CURRENCIES["₩"], "RUB": _CURRENCIES["₽"],
    "Rs": _CURRENCIES["₹"], "kr": ("krone", "kroner", "", ""), "zł": ("zloty", "zloty", "", ""),
    "CAD": ("Canadian dollar", "Canadian dollars", "cent", "cents"),
    "AUD": ("Australian dollar", "Australian dollars", "cent", "cents"),
    "NZD": ("New Zealand dollar", "New Zealand dollars", "cent", "cents"),
}
# fmt: on
CURRENCY_CODES = frozenset(_CODES)
CURRENCY_SIGNS = "".join(_CURRENCIES)

_SIGN = f"[{CURRENCY_SIGNS}]"
_PREFIX = r"(?P<country>(?:US|CAD?|CA|AUD?|AU|NZ|HK|SG|NT|[CAS])(?=\$))?"
_MAGNITUDE = (
    rf"(?:(?:{SPACE}|-)?(?P<magnitude>(?:thousand|million|billion|trillion|bn|mn|mm|tn|mil"
    r"|[kKmMbBtT])\b(?!['’]))"
    r"(?![-.]\w))?"
)
_EURO_AMOUNT = r"(?P<amount>\d{1,3}(?:\.\d{3}){0,6},\d\d|\d{1,3}(?:\.\d{3}){1,6})(?![\d.,]\d|\d)"


def _name_currency(match: Match[str]) -> tuple[str, ...]:
    groups = match.groupdict()
    sign = groups.get("before") or groups.get("after") or ""
    names = _CURRENCIES.get(sign) or _CODES[sign]
    country = _DOLLARS.get(groups.get("country") or "", "")
    if country:
        names = (f"{country} {names[0]}", f"{country} {names[1]}", *names[2:])
    return names


def _spell(name: str) -> list[str]:
    return [part for word in name.split() for part in (list(word) if word == "US" else [word])]


def verbalize_amount(amount: str, names: tuple[str, ...], singular: bool = False) -> list[str]:
    """Read an amount with its currency; `singular` as before a noun: "five dollar"."""
    whole, _, cent_digits = amount.partition(".")
    if len(cent_digits) not in (0, 2) or (cent_digits and not names[2]):
        return [*to_number(amount), *_spell(names[0 if singular else 1])]
    words: list[str] = []
    has_cents = bool(cent_digits.strip("0"))
    if int(whole[-9:] or "0") or len(whole) > 9 or not has_cents:
        is_one = whole == "1" or singular
        words += [*to_number(whole or "0"), *_spell(names[0 if is_one else 1])]
        words += ["and"] if has_cents else []
    if has_cents:
        is_one = cent_digits == "01" or singular
        words += [*to_cardinal(cent_digits), names[2] if is_one else names[3]]
    return words


def _clean_amount(amount: str) -> str:
    return re.sub(rf"[,{SPACE[1:-1]}]", "", amount)


def _verbalize_money(match: Match[str]) -> list[str] | None:
    groups = match.groupdict()
    names = _name_currency(match)
    amount = _clean_amount(match["amount"])
    words = ["minus"] if groups.get("minus") else []
    singular = describes_noun(match.string, match.start(), match.end())
    magnitude = (groups.get("magnitude") or "").lower()
    if magnitude:
        currency = _spell(names[0 if singular else 1])
        return [*words, *to_number(amount), MAGNITUDES.get(magnitude, magnitude), *currency]
    return words + verbalize_amount(amount, names, singular)


def _verbalize_money_range(match: Match[str]) -> list[str]:
    """Read "$10-15": the currency is said once, after both."""
    names = _name_currency(match)
    first, last = _clean_amount(match["first"]), _clean_amount(match["amount"])
    magnitude = (match["magnitude"] or "").lower()
    first_magnitude = (match["first_magnitude"] or "").lower()
    words = [*to_number(first)]
    words += [MAGNITUDES[first_magnitude]] if first_magnitude else []
    singular = describes_noun(match.string, match.start(), match.end())
    currency = _spell(names[0 if singular else 1])
    if magnitude:
        scale = MAGNITUDES.get(magnitude, magnitude)
        return [*words, "to", *to_number(last), scale, *currency]
    if "." in first or "." in last:
        return [
            *verbalize_amount(first, names, singular),
            "to",
            *verbalize_amount(last, names, singular),
        ]
    return [*words, "to", *to_number(last), *currency]


def _verbalize_european(match: Match[str]) -> list[str]:
    """Read an amount with a decimal comma: "1.234,56 €"."""
    amount = match["amount"].replace(".", "").replace(",", ".")
    return verbalize_amount(amount, _name_currency(match))


def _verbalize_notes(match: Match[str]) -> list[str]:
    """Read "two $20s"."""
    *words, last = to_cardinal(match["tens"])
    return [*words, last[:-1] + "ies" if last.endswith("y") else last + "s"]


def _verbalize_cents(match: Match[str]) -> list[str]:
    return [*to_number(match[1]), "cent" if match[1] == "1" else "cents"]


_RATED = re.compile(rf"(?:[{CURRENCY_SIGNS}]\d[\d.,]{{0,15}}[kKmMbB]?|\d(?P<count>))$")
_DENOMINATOR = re.compile(r"/([A-Za-z]{1,9}[²³]?)(?![\w/])")


def verbalize_rate(text: str, at: int) -> tuple[list[str], int] | None:
    """Read the slash and the unit after a price or a number: "$5/month", "$50k/yr", "9/day".

    Returns:
        "per" and the unit, and the position after it; None if it is not a rate.
    """
    rated = _RATED.search(text, max(at - 20, 0), at)
    denominator = _DENOMINATOR.match(text, at)
    if not rated or not denominator:
        return None
    written = denominator[1]
    name = name_denominator(written)
    if name and (len(written) > 1 or rated["count"] is None):
        return ["per", *name.split()], denominator.end()
    return (["per"], at + 1) if rated["count"] is None else None


_CODE = rf"(?P<after>{'|'.join(_CODES)})\b"
MONEY_RULES: tuple[Rule, ...] = (
    rule(rf"{_SIGN}(?P<tens>\d{{1,3}}0|5|1|2)s(?!\w)", _verbalize_notes),
    rule(
        rf"{_PREFIX}(?P<before>{_SIGN}){SPACE}?(?P<first>{NUMBER})(?P<first_magnitude>[kKmMbB])?"
        rf"{SPACE}?(?:{DASH}|to\b){SPACE}?(?:(?:US|CA|AU|NZ|[CA])?{_SIGN})?"
        rf"(?P<amount>{NUMBER})(?![\d%]){_MAGNITUDE}",
        _verbalize_money_range,
    ),
    rule(
        rf"(?P<first>{NUMBER})(?P<first_magnitude>[kKmMbB])?{SPACE}?{DASH}{SPACE}?"
        rf"(?P<amount>{NUMBER}){_MAGNITUDE}{SPACE}?(?P<after>{_SIGN})",
        _verbalize_money_range,
    ),
    rule(rf"(?P<before>€){SPACE}?{_EURO_AMOUNT}", _verbalize_european),
    rule(
        rf"{_EURO_AMOUNT}{SPACE}?(?:(?P<after>€)|{_CODE.replace('after', 'code')})",
        lambda match: _verbalize_european(match) if match["after"] else None,
    ),
    rule(
        rf"(?P<minus>[-−](?=[{CURRENCY_SIGNS}US]))?{_PREFIX}(?P<before>{_SIGN}){SPACE}?{AMOUNT}{_MAGNITUDE}",
        _verbalize_money,
    ),
    rule(rf"{AMOUNT}{_MAGNITUDE}{SPACE}?(?P<after>{_SIGN})(?!\d)", _verbalize_money),
    rule(rf"{AMOUNT}{_MAGNITUDE}{SPACE}?{_CODE}", _verbalize_money),
    rule(rf"(?P<before>{'|'.join(_CODES)})\.?{SPACE}?{AMOUNT}{_MAGNITUDE}", _verbalize_money),
    rule(r"¢(\d{1,9})(?!\d)", _verbalize_cents),
)
