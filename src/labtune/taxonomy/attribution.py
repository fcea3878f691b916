"""`attribution.txt`: where a leaf's texts come from and under which licence."""

from __future__ import annotations

import re

from labtune.types import Attribution

_FIELDS = {
    "title of work": "title",
    "title": "title",
    "link to work": "link",
    "link": "link",
    "revision": "revision",
    "license of the work": "license",
    "licence of the work": "license",
    "license": "license",
    "licence": "license",
    "creator names": "creators",
    "creator name": "creators",
    "creators": "creators",
    "creator": "creators",
}
OPEN_LICENSES = (
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "CC-BY-4.0",
    "CC-BY-SA-4.0",
    "Apache-2.0",
    "MIT",
    "BSD-3-Clause",
    "Public domain",
)


def parse_attribution(text: str) -> Attribution:
    """The first block that names anything; free text without known labels becomes the title."""
    for block in re.split(r"\n\s*\n", text.removeprefix("\ufeff").replace("\r\n", "\n")):
        found: dict[str, str] = {}
        for line in block.splitlines():
            label, colon, value = line.partition(":")
            name = _FIELDS.get(" ".join(label.lower().replace("_", " ").split()))
            if colon and name and name not in found:
                found[name] = _value(value)
        if any(found.values()):
            return Attribution(**found)
    words = " ".join(text.split())
    return Attribution(title=words[:200])


def _value(text: str) -> str:
    stripped = text.strip()
    return "" if stripped in ("-", "--", "n/a", "N/A") or re.fullmatch(r"<[^<>]*>", stripped) else stripped


def is_open_license(name: str) -> bool:
    """True for the licences that may be passed on with derived data."""
    bare = re.sub(r"[^a-z0-9]", "", name.lower())
    return any(bare == re.sub(r"[^a-z0-9]", "", known.lower()) for known in OPEN_LICENSES)
