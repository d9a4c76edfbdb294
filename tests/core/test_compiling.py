import logging

import numba
import pytest

from amp.core import compiling
from amp.core.compiling import kept


@pytest.fixture(autouse=True)
def _unwarned():
    compiling._warn.cache_clear()


def nowhere(monkeypatch):
    """Refuse as numba does when it finds no folder that it may write to."""
    njit = numba.njit

    def refusing(cache=False, **options):
        def decorate(function):
            if cache:
                raise RuntimeError(f"cannot cache function {function.__name__!r}")
            return njit(**options)(function)

        return decorate

    monkeypatch.setattr(numba, "njit", refusing)


def double(x):
    return 2 * x


def test_where_nothing_can_be_written_functions_work_and_it_is_told_once(monkeypatch, caplog):
    nowhere(monkeypatch)
    caplog.set_level(logging.WARNING, "amp")
    assert kept(nogil=True)(double)(21) == 42
    assert kept()(double)(21) == 42
    (record,) = caplog.records
    assert "NUMBA_CACHE_DIR" in record.getMessage()


def test_code_is_kept_where_it_can_be(caplog):
    kernel = kept(nogil=True)(double)
    assert kernel._cache.cache_path
    assert not caplog.records
