"""A fixed date for chat templates, so that prompts do not change with the clock."""

PROMPT_DATE = "2024-07-26"
"""The date of every prompt: the one that Llama 3.2's template falls back to."""

# The results of `strftime_now` at midnight of that day, in English whatever the locale. Longer codes come
# first, since some contain others.
# fmt: off
_CODES = {
    "%-d": "26", "%-m": "7", "%-H": "0", "%-I": "12", "%-M": "0", "%-S": "0", "%-j": "208", "%-y": "24",
    "%c": "Fri Jul 26 00:00:00 2024", "%x": "07/26/24", "%X": "00:00:00", "%D": "07/26/24",
    "%F": "2024-07-26", "%T": "00:00:00", "%R": "00:00", "%r": "12:00:00 AM", "%a": "Fri", "%A": "Friday",
    "%b": "Jul", "%h": "Jul", "%B": "July", "%d": "26", "%e": "26", "%m": "07", "%y": "24", "%Y": "2024",
    "%C": "20", "%G": "2024", "%g": "24", "%j": "208", "%u": "5", "%w": "5", "%U": "29", "%V": "30",
    "%W": "30", "%H": "00", "%I": "12", "%M": "00", "%S": "00", "%f": "000000", "%p": "AM", "%P": "am",
    "%s": "1721952000", "%z": "", "%Z": "", "%n": "\\n", "%t": "\\t", "%%": "%",
}
# fmt: on


def without_clock(template: str) -> str:
    """Make `strftime_now` give `PROMPT_DATE` in a template.

    `transformers` passes the function to templates as a global, which a macro of the same name hides.
    """
    if "strftime_now" not in template:
        return template
    replaced = "".join(f"|replace('{code}', '{value}')" for code, value in _CODES.items())
    # The plus keeps the template's leading white space.
    return f"{{% macro strftime_now(format) %}}{{{{ format{replaced} }}}}{{% endmacro +%}}{template}"
