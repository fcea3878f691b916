"""Settings for all tests."""

from hypothesis import HealthCheck, settings

# Two busy cores make generation slow without anything being wrong.
settings.register_profile("labtune", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("labtune")
