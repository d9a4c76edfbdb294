"""Parts of kernels compiled anew so that Python can call them, which as they are it cannot."""

import functools
from types import ModuleType

from numba import njit

NO_WRAPPERS = ("no_cpython_wrapper", "no_cfunc_wrapper")


class FromPython:
    """The functions of a module of kernels."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module

    def __getattr__(self, name):
        return opened(getattr(self.module, name))


@functools.cache
def opened(function):
    """Compile a part so that it can be called."""
    options = function.targetoptions
    left_out = ("nopython", *NO_WRAPPERS)
    return njit(**{key: options[key] for key in options if key not in left_out})(function.py_func)


def open_parts(monkeypatch, *modules):
    """Let kernels of these modules be interpreted: they call their parts from Python then."""
    for module in modules:
        for name, value in list(vars(module).items()):
            if set(NO_WRAPPERS) <= set(getattr(value, "targetoptions", ())):
                monkeypatch.setattr(module, name, opened(value))
