"""The one place that names the version; packaging and CMake read it."""

__version__ = "0.1.0"
