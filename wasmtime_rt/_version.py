"""The version of this package, compiled into the extension and compared at import."""

__version__ = "0.1.0"
