"""Open a teacher or judge as the lab file describes it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from labtune.config.endpoint import EndpointConfig
from labtune.models.endpoint.budget import Meter
from labtune.models.endpoint.client import EndpointClient
from labtune.models.endpoint.prices import price_of
from labtune.models.endpoint.transport import Transport
from labtune.types import Emit, no_events


@asynccontextmanager
async def open_teacher(
    config: EndpointConfig,
    *,
    cache_dir: Path | None = None,
    meter: Meter | None = None,
    emit: Emit = no_events,
) -> AsyncIterator[EndpointClient]:
    """A client of the endpoint, closed at the end of the block. Nothing is sent before the first chat.

    Args:
        config: the endpoint.
        cache_dir: where findings about endpoints are kept; None = nowhere.
        meter: counts and bounds what is spent; one may serve teacher and judge.
        emit: told "endpoint", "endpoint_note" and "endpoint_limit".

    Raises:
        ConfigError: the budget bounds money and the price is unknown. The key and `ca_file` are read with the
            first request, so that replies from the journal need neither.
    """
    if meter is not None:
        meter.accept(price_of(config), config.model)
    async with Transport(config) as transport:
        client = EndpointClient(config, transport, cache_dir=cache_dir, meter=meter, emit=emit)
        try:
            yield client
        finally:
            client.close()
