"""The database: values under keys, in files that many processes may read and write at once."""

__all__: list[str] = []
