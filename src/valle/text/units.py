"""Units of measurement: their signs and spoken names."""

from __future__ import annotations

# fmt: off
# singular and plural; a single name serves for both
_UNITS = {
    "%": ("percent",), "‰": ("per mille",), "¢": ("cent", "cents"),
    "°": ("degree", "degrees"), "°C": ("degree Celsius", "degrees Celsius"),
    "°F": ("degree Fahrenheit", "degrees Fahrenheit"),
    "′": ("foot", "feet"), "ft": ("foot", "feet"), "″": ("inch", "inches"),
    "mi": ("mile", "miles"), "yd": ("yard", "yards"), "yds": ("yard", "yards"),
    "lb": ("pound", "pounds"), "lbs": ("pound", "pounds"), "oz": ("ounce", "ounces"),
    "km/h": ("kilometer per hour", "kilometers per hour"),
    "kph": ("kilometer per hour", "kilometers per hour"),
    "mph": ("mile per hour", "miles per hour"),
    "m/s": ("meter per second", "meters per second"),
    "m²": ("square meter", "square meters"), "km²": ("square kilometer", "square kilometers"),
    "m³": ("cubic meter", "cubic meters"), "cm³": ("cubic centimeter", "cubic centimeters"),
    "ha": ("hectare", "hectares"), "h": ("hour", "hours"), "hr": ("hour", "hours"),
    "hrs": ("hour", "hours"), "min": ("minute", "minutes"), "mins": ("minute", "minutes"),
    "sec": ("second", "seconds"), "secs": ("second", "seconds"), "rpm": ("R P M",),
    "fps": ("frame per second", "frames per second"), "psi": ("P S I",),
    "px": ("pixel", "pixels"), "kcal": ("kilocalorie", "kilocalories"),
    "dB": ("decibel", "decibels"),
}
_BASE_UNITS = {
    "m": "meter", "g": "gram", "l": "liter", "L": "liter", "s": "second", "W": "watt",
    "V": "volt", "J": "joule", "Wh": "watt hour", "Hz": "hertz", "B": "byte", "b": "bit",
    "bps": "bit", "iB": "byte",
}
_PREFIXES = {
    "": "", "k": "kilo", "K": "kilo", "M": "mega", "G": "giga", "T": "tera", "m": "milli",
    "c": "centi", "µ": "micro", "μ": "micro", "n": "nano",
}
# fmt: on
# After a space these are more often words or names than units.
ATTACHED_UNITS = frozenset(("s", "h", "l", "L", "V", "J", "b", "B", "K", "mi", "ha", "′", "″"))


def name_unit(sign: str, singular: bool) -> str | None:
    """Return the name of a unit, with its metric prefix; None if it is unknown."""
    if sign in _UNITS:
        return _UNITS[sign][0 if singular else -1]
    for size in (1, 0):
        base = _BASE_UNITS.get(sign[size:])
        if base and sign[:size] in _PREFIXES:
            rate = " per second" if sign.endswith("bps") else ""
            name = _PREFIXES[sign[:size]] + base
            return name + ("" if singular or base == "hertz" else "s") + rate
    return None
