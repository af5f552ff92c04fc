"""Units of measurement: their signs and spoken names."""

from __future__ import annotations

# fmt: off
# singular and plural; a single name serves for both
_UNITS = {
    "%": ("percent",), "‰": ("per mille",), "¢": ("cent", "cents"),
    "°": ("degree", "degrees"), "°C": ("degree Celsius", "degrees Celsius"),
    "°F": ("degree Fahrenheit", "degrees Fahrenheit"), "℃": ("degree Celsius", "degrees Celsius"),
    "℉": ("degree Fahrenheit", "degrees Fahrenheit"),
    "′": ("foot", "feet"), "ft": ("foot", "feet"), "″": ("inch", "inches"),
    '"': ("inch", "inches"), "”": ("inch", "inches"), "in": ("inch", "inches"),
    "mi": ("mile", "miles"), "yd": ("yard", "yards"), "yds": ("yard", "yards"),
    "lb": ("pound", "pounds"), "lbs": ("pound", "pounds"), "oz": ("ounce", "ounces"),
    "gal": ("gallon", "gallons"), "qt": ("quart", "quarts"), "tsp": ("teaspoon", "teaspoons"),
    "tbsp": ("tablespoon", "tablespoons"), "pt": ("pint", "pints"),
    "kph": ("kilometer per hour", "kilometers per hour"),
    "kmh": ("kilometer per hour", "kilometers per hour"),
    "mph": ("mile per hour", "miles per hour"), "mpg": ("mile per gallon", "miles per gallon"),
    "ha": ("hectare", "hectares"), "h": ("hour", "hours"), "hr": ("hour", "hours"),
    "hrs": ("hour", "hours"), "min": ("minute", "minutes"), "mins": ("minute", "minutes"),
    "sec": ("second", "seconds"), "secs": ("second", "seconds"), "rpm": ("R P M",),
    "bpm": ("beat per minute", "beats per minute"), "yr": ("year", "years"),
    "yrs": ("year", "years"), "wk": ("week", "weeks"), "wks": ("week", "weeks"),
    "mo": ("month", "months"), "mos": ("month", "months"),
    "fps": ("frame per second", "frames per second"), "psi": ("P S I",),
    "ppm": ("part per million", "parts per million"), "dpi": ("D P I",), "ppi": ("P P I",),
    "px": ("pixel", "pixels"), "MP": ("megapixel", "megapixels"),
    "kcal": ("kilocalorie", "kilocalories"), "cal": ("calorie", "calories"),
    "dB": ("decibel", "decibels"), "dBFS": ("D B F S",), "LUFS": ("luffs",),
    "hp": ("horsepower",), "A": ("amp", "amps"), "mAh": ("milliamp hour", "milliamp hours"),
    "Ah": ("amp hour", "amp hours"), "eV": ("electron volt", "electron volts"),
    "VA": ("volt ampere", "volt amperes"), "N": ("newton", "newtons"),
    "sqft": ("square foot", "square feet"), "sqm": ("square meter", "square meters"),
    "cc": ("C C",), "d": ("day", "days"), "Mbit": ("megabit", "megabits"),
    "Gbit": ("gigabit", "gigabits"), "kbit": ("kilobit", "kilobits"),
    "Kbit": ("kilobit", "kilobits"),
    "N·m": ("newton meter", "newton meters"), "kW·h": ("kilowatt hour", "kilowatt hours"),
    "Nm": ("newton meter", "newton meters"),
    "mmHg": ("millimeter of mercury", "millimeters of mercury"),
    "atm": ("atmosphere", "atmospheres"), "au": ("astronomical unit", "astronomical units"),
    "AU": ("astronomical unit", "astronomical units"), "ly": ("light year", "light years"),
    "ac": ("acre", "acres"),
}
_BASE_UNITS = {
    "m": "meter", "g": "gram", "l": "liter", "L": "liter", "s": "second", "W": "watt",
    "V": "volt", "J": "joule", "Wh": "watt hour", "Hz": "hertz", "hz": "hertz", "B": "byte",
    "b": "bit", "bps": "bit", "iB": "byte", "A": "amp", "Pa": "pascal", "N": "newton",
    "Ω": "ohm", "F": "farad", "mol": "mole", "t": "ton", "bar": "bar", "eV": "electron volt",
}
_PREFIXES = {
    "": "", "k": "kilo", "K": "kilo", "M": "mega", "G": "giga", "T": "tera", "m": "milli",
    "c": "centi", "µ": "micro", "μ": "micro", "n": "nano", "d": "deci", "h": "hecto", "p": "pico",
}
_POWERS = {"²": "square", "³": "cubic"}
_UNIT_PERIODS = {"h": "hour", "hr": "hour", "s": "second", "min": "minute", "mo": "month",
                 "yr": "year", "day": "day", "week": "week", "month": "month", "year": "year",
                 "hour": "hour", "d": "day", "person": "person", "night": "night",
                 "wk": "week", "y": "year", "sec": "second", "sqft": "square foot",
                 "minute": "minute", "second": "second", "piece": "piece", "head": "head",
                 "user": "user", "seat": "seat", "share": "share", "serving": "serving",
                 "gallon": "gallon", "pound": "pound", "unit": "unit", "page": "page",
                 "word": "word", "dozen": "dozen", "set": "set", "bbl": "barrel"}
# fmt: on
# After a space these are more often words or names than units.
ATTACHED_UNITS = frozenset(
    (
        "s",
        "h",
        "l",
        "V",
        "J",
        "b",
        "B",
        "K",
        "ha",
        "′",
        "″",
        '"',
        "”",
        "in",
        "d",
        "F",
        "N",
        "t",
        "mo",
        "au",
        "pt",
        "AU",
        "A",
        "ac",
        "MP",
        "VA",
    )
)


def name_denominator(sign: str) -> str | None:
    """Return the name of a unit after "per": "hour", "second squared"; None if it is unknown."""
    if sign in ("s²", "s2", "s³", "s3"):  # an acceleration
        return "second " + ("squared" if sign[1] in "²2" else "cubed")
    return _UNIT_PERIODS.get(sign) or name_unit(sign, singular=True)


def name_unit(sign: str, singular: bool) -> str | None:
    """Return the name of a unit, with its metric prefix; None if it is unknown."""
    numerator, slash, denominator = sign.partition("/")
    if slash:
        first, second = name_unit(numerator, singular), name_denominator(denominator)
        return f"{first} per {second}" if first and second else None
    if sign in _UNITS:
        return _UNITS[sign][0 if singular else -1]
    if sign[-1:] in _POWERS or (sign[-1:] in "23" and len(sign) > 1):
        base = name_unit(sign[:-1], singular)
        return (
            f"{_POWERS.get(sign[-1]) or _POWERS['²³'[int(sign[-1]) - 2]]} {base}" if base else None
        )
    for size in (1, 0):
        name = _BASE_UNITS.get(sign[size:])
        if name and sign[:size] in _PREFIXES and not (size == 0 and sign[:size]):
            rate = " per second" if sign.endswith("bps") else ""
            name = _PREFIXES[sign[:size]] + name
            return name + ("" if singular or name.endswith("hertz") else "s") + rate
    return None
