"""The database: values under keys, in files that many processes may read and write at once."""

from amp.database.filedatabase import FileDatabase, Statistics

__all__ = ["FileDatabase", "Statistics"]
