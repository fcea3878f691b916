"""Stop strings in a stream of text: nothing of one is ever shown, and what may become one waits."""

from __future__ import annotations

from collections.abc import Sequence


class StopText:
    """Lets text through until one of `stops` appears, which ends it; the stop itself is left out.

    Text whose end may be the beginning of a stop is held back until the next piece decides.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self.found = False
        self._stops = [stop for stop in stops if stop]
        self._held = ""

    def feed(self, piece: str) -> str:
        """What of the text so far may be shown now; after a stop was found, nothing more."""
        if self.found:
            return ""
        text = self._held + piece
        places = [place for stop in self._stops if (place := text.find(stop)) >= 0]
        if places:
            self.found = True
            self._held = ""
            return text[: min(places)]
        keep = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def finish(self) -> str:
        """What was held back when the text ended without a stop."""
        rest, self._held = self._held, ""
        return rest


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that a stop begins with."""
    return next(
        (size for size in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:size])), 0
    )
