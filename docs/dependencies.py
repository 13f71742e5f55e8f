"""The packages that this one needs, with their licenses, from setup.cfg and the packages' own metadata.

python docs/dependencies.py > docs/dependencies.md
python docs/dependencies.py --all    # whatever those need in turn, as it is installed here
"""

import configparser
import sys
from importlib.metadata import PackageNotFoundError, metadata, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from hf_vitselect.report.tables import table

SETUP = Path(__file__).parents[1] / "setup.cfg"
HEAD = """\
# Dependencies

Written by `python docs/dependencies.py > docs/dependencies.md`; `--all` also lists what these need in turn.
Licenses are as the packages' metadata states them. `hf_vitselect` itself is Apache-2.0.
"""

# Not in a development environment: of the explorer, with CUDA, or of the site.
ABSENT = {
    "embedding-atlas": "MIT",
    "faiss-gpu": "MIT",
    "mkdocs-material": "MIT",
    "mkdocstrings-python": "ISC",
}


def license_of(name: str) -> str:
    """The license in a package's metadata: an SPDX expression, else its classifiers, else the first words."""
    if name in ABSENT:
        return ABSENT[name]
    about = metadata(name)
    if expression := about.get("License-Expression"):
        return expression
    prefix = "License :: OSI Approved :: "
    named = [line.removeprefix(prefix) for line in about.get_all("Classifier", []) if line.startswith(prefix)]
    words = (about.get("License") or "").splitlines()
    return ", ".join(named) or (words[0].strip() if words else "") or "not stated"


def declared() -> dict[str, str]:
    """Each requirement of setup.cfg, and who needs it."""
    config = configparser.ConfigParser()
    config.read(SETUP)
    lines = dict.fromkeys(config["options"]["install_requires"].split(), "everybody")
    for extra, text in config["options.extras_require"].items():
        lines |= {
            line: f"the extra `{extra}`"
            for line in text.strip().splitlines()
            if line not in lines and extra != "dev"
        }
    return lines


def closure(names: list[str]) -> list[str]:
    """These packages and all that they need here, without extras."""
    seen: dict[str, str] = {}
    while names:
        name = canonicalize_name(names.pop())
        if name in seen:
            continue
        try:
            needs = [Requirement(line) for line in requires(name) or []]
        except PackageNotFoundError:
            continue
        seen[name] = name
        names += [need.name for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
    return sorted(seen)


def page() -> str:
    rows = [
        {"package": (need := Requirement(line)).name, "version": str(need.specifier), "needed by": who}
        | {"license": license_of(need.name)}
        for line, who in declared().items()
    ]
    return f"{HEAD}\n{table(rows)}\n"


if __name__ == "__main__":
    if "--all" in sys.argv:
        names = closure([Requirement(line).name for line in declared()])
        print(table([{"package": name, "license": license_of(name)} for name in names]))
    else:
        print(page(), end="")
