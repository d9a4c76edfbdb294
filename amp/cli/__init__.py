"""The `amp` command: one module for each of its commands."""

__all__: list[str] = []
