"""Whatever is done to a database in whatever order, it holds what a dictionary would."""

import shutil
import tempfile

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from amp.database import FileDatabase
from amp.database._loose import JOIN_UP_TO, MAP_FROM

KEYS = st.sampled_from(["a", "b", "A", "some key", "é", "7", 7, "x" * 200])
VALUES = (
    st.integers()
    | st.lists(st.integers(), max_size=3)
    | st.dictionaries(st.text(max_size=3), st.floats(allow_nan=False), max_size=3)
    | st.tuples(st.integers(1, 9), st.sampled_from([0, 3, JOIN_UP_TO // 8, MAP_FROM // 8 + 1])).map(
        lambda pair: np.full(pair[1], float(pair[0]))
    )
)


def same(a, b):
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return type(a) is type(b) and a.dtype == b.dtype and np.array_equal(a, b)
    return type(a) is type(b) and a == b


class Databases(RuleBasedStateMachine):
    """Two handles on one database, which take turns, and a dictionary."""

    @initialize(limit=st.sampled_from([1000, 100_000, None]))
    def begin(self, limit):
        self.folder = tempfile.mkdtemp()
        self.limit = limit
        self.handles = [self.opened(), self.opened()]
        self.expected = {}

    def opened(self):
        return FileDatabase(self.folder + "/some", max_memory=self.limit)

    def teardown(self):
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)

    def changed(self, handle):
        """Let the other handle see what this one has changed."""
        self.handles[1 - handle].refresh()

    @rule(handle=st.integers(0, 1), key=KEYS, value=VALUES)
    def set(self, handle, key, value):
        self.handles[handle][key] = value
        self.expected[str(key)] = value
        self.changed(handle)

    @rule(handle=st.integers(0, 1), key=KEYS)
    def get(self, handle, key):
        if str(key) in self.expected:
            assert same(self.handles[handle][key], self.expected[str(key)])
        else:
            with pytest.raises(KeyError):
                self.handles[handle][key]

    @rule(handle=st.integers(0, 1), key=KEYS)
    def delete(self, handle, key):
        if self.expected.pop(str(key), None) is None:
            with pytest.raises(KeyError):
                del self.handles[handle][key]
        else:
            del self.handles[handle][key]
        self.changed(handle)

    @rule(handle=st.integers(0, 1), key=KEYS)
    def contains(self, handle, key):
        assert (key in self.handles[handle]) == (str(key) in self.expected)

    @rule(handle=st.integers(0, 1), entries=st.dictionaries(KEYS, VALUES, max_size=3))
    def update(self, handle, entries):
        self.handles[handle].update(entries)
        self.expected.update({str(key): value for key, value in entries.items()})
        self.changed(handle)

    @rule(handle=st.integers(0, 1))
    def archive(self, handle):
        self.handles[handle].archive()
        assert self.handles[handle]._loose.names() == []

    @rule(handle=st.integers(0, 1))
    def reopen(self, handle):
        self.handles[handle].close()
        self.handles[handle] = self.opened()

    @rule(handle=st.integers(0, 1))
    def clear(self, handle):
        self.handles[handle].clear()
        self.expected.clear()
        self.changed(handle)

    @rule(handle=st.integers(0, 1))
    def items(self, handle):
        found = dict(self.handles[handle].items())
        assert all(same(found[key], value) for key, value in self.expected.items())

    @invariant()
    def has_the_same_keys(self):
        for handle in getattr(self, "handles", ()):
            assert handle.keys() == sorted(self.expected)


TestDatabases = pytest.mark.filterwarnings("error")(Databases.TestCase)
TestDatabases.settings = settings(max_examples=15, stateful_step_count=30, deadline=None)


class ManyDatabases(Databases):
    """The same for longer."""


TestManyDatabases = pytest.mark.slow(ManyDatabases.TestCase)
TestManyDatabases.settings = settings(max_examples=500, stateful_step_count=80, deadline=None)
