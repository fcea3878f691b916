"""What tokens cost: the lab file's word, else a dated table; never a guess."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

import yaml

from labtune.config.endpoint import EndpointConfig

_DATED = re.compile(r"-\d{4}-\d{2}-\d{2}$")


@dataclass(frozen=True, slots=True)
class Price:
    """Price of a million tokens, in `currency`; `source` says where and when it was read."""

    input: float
    output: float
    currency: str
    source: str

    def of(self, prompt_tokens: int, tokens: int) -> float:
        """What a request costs."""
        return (prompt_tokens * self.input + tokens * self.output) / 1_000_000


def price_of(config: EndpointConfig) -> Price | None:
    """The price of a model at its endpoint; None = unknown.

    The table is keyed by the host as well, since each provider has its own prices; a dated snapshot of a
    model costs what the model costs.
    """
    if config.prices is not None:
        own = config.prices
        return Price(own.input, own.output, own.currency, "the lab file")
    host = urlsplit(config.endpoint).hostname or ""
    model = _DATED.sub("", config.model)
    for entry in _table():
        if host == entry["host"] and model in entry["models"]:
            return Price(
                float(entry["input"]),
                float(entry["output"]),
                str(entry.get("currency", "USD")),
                f"labtune's table of {entry['date']}, {entry['source']}",
            )
    return None


@cache
def _table() -> list[dict[str, Any]]:
    text = files("labtune.models.endpoint").joinpath("prices.yaml").read_text(encoding="utf-8")
    entries: list[dict[str, Any]] = yaml.safe_load(text)["prices"]
    return entries
