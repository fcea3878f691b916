"""Settings for all tests."""

import signal

from hypothesis import HealthCheck, settings

# Two busy cores make generation slow without anything being wrong.
settings.register_profile("labtune", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("labtune")

# A shell that starts the suite in the background makes it, and all that it starts, deaf to Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
