"""Vivavoce: a self-hosted Realtime API."""

__version__ = "0.1.0"
