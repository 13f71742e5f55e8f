"""Chat templates on a day of their own: a prompt must not change with the clock."""

PROMPT_DATE = "2024-07-26"
"""The day that every prompt is written on: the one that Llama 3.2's template falls back to."""

# What `strftime_now` would give at midnight of that day, in English whatever the machine speaks. The longer
# codes come first, for one may hold another.
_CODES = {
    "%-d": "26",
    "%-m": "7",
    "%-H": "0",
    "%-I": "12",
    "%-M": "0",
    "%-S": "0",
    "%-j": "208",
    "%-y": "24",
    "%c": "Fri Jul 26 00:00:00 2024",
    "%x": "07/26/24",
    "%X": "00:00:00",
    "%D": "07/26/24",
    "%F": "2024-07-26",
    "%T": "00:00:00",
    "%R": "00:00",
    "%r": "12:00:00 AM",
    "%a": "Fri",
    "%A": "Friday",
    "%b": "Jul",
    "%h": "Jul",
    "%B": "July",
    "%d": "26",
    "%e": "26",
    "%m": "07",
    "%y": "24",
    "%Y": "2024",
    "%C": "20",
    "%G": "2024",
    "%g": "24",
    "%j": "208",
    "%u": "5",
    "%w": "5",
    "%U": "29",
    "%V": "30",
    "%W": "30",
    "%H": "00",
    "%I": "12",
    "%M": "00",
    "%S": "00",
    "%f": "000000",
    "%p": "AM",
    "%P": "am",
    "%s": "1721952000",
    "%z": "",
    "%Z": "",
    "%n": "\\n",
    "%t": "\\t",
    "%%": "%",
}


def without_clock(template: str) -> str:
    """The template with `strftime_now` telling `PROMPT_DATE`, whatever the day.

    `transformers` gives templates the function as a global; a macro of the same name stands before it.

    Args:
        template: a chat template in Jinja.
    """
    if "strftime_now" not in template:
        return template
    replaced = "".join(f"|replace('{code}', '{value}')" for code, value in _CODES.items())
    # The plus keeps the white space that the template begins with.
    return f"{{% macro strftime_now(format) %}}{{{{ format{replaced} }}}}{{% endmacro +%}}{template}"
