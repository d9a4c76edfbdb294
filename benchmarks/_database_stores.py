"""One store, one phase of the benchmark of databases: `STORE PHASE FOLDER COUNT SIZE`.

Prints how long the phase took (s). Runs in a process of its own, so that nothing is in its memory
that was not read in this phase, and under old Pythons, as Amp 1.0.1 needs them.
"""

import os
import random
import sys
import tarfile
import time
import zipfile

import numpy as np


def values(count, size):
    """Give keys as the cache has them, and arrays that compress as fingerprints do."""
    rng = np.random.RandomState(0)
    for i in range(count):
        yield f"{i * 0x9E3779B97F4A7C15:032x}-fingerprints", rng.random_sample(size // 8)


def names(count, n):
    """Draw n keys at random."""
    keys = [key for key, _ in values(count, 0)]
    random.Random(1).shuffle(keys)
    return keys[:n]


class Amp:
    """Our own."""

    durable = False

    def __init__(self, folder, count):
        from amp.database import FileDatabase

        self.db = FileDatabase(os.path.join(folder, "store"), durable=self.durable)

    def write(self, key, value):
        self.db[key] = value

    def read(self, key):
        return self.db[key]

    def archive(self):
        self.db.archive()

    def close(self):
        self.db.close()


class DurableAmp(Amp):
    durable = True


class Amp1(Amp):
    """Amp 1.0.1, in its own Python."""

    def __init__(self, folder, count):
        from amp.utilities import FileDatabase

        self.db = FileDatabase.open(os.path.join(folder, "store"))


class Npz:
    """A file of numpy for each key; as archive, all of them in a tar.gz."""

    durable = False

    def __init__(self, folder, count):
        self.folder = os.path.join(folder, "npz")
        os.makedirs(self.folder, exist_ok=True)
        self.tar = self.folder + ".tar.gz"

    def path(self, key):
        return os.path.join(self.folder, key + ".npz")

    def write(self, key, value):
        with open(self.path(key), "wb") as file:
            np.savez(file, value=value)
            if self.durable:
                file.flush()
                os.fsync(file.fileno())
        if self.durable:
            folder = os.open(self.folder, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)

    def read(self, key):
        if not os.path.exists(self.tar):
            with np.load(self.path(key)) as data:
                return data["value"]
        with tarfile.open(self.tar) as tar:
            return np.load(tar.extractfile(os.path.basename(self.path(key))))["value"]

    def archive(self):
        with tarfile.open(self.tar, "w:gz") as tar:
            for name in os.listdir(self.folder):
                tar.add(os.path.join(self.folder, name), name)
                os.unlink(os.path.join(self.folder, name))

    def close(self):
        pass


class DurableNpz(Npz):
    durable = True


class Zip(Npz):
    """The same, all of them in a zip file that stays open."""

    def archive(self):
        with zipfile.ZipFile(self.tar, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for name in os.listdir(self.folder):
                archive.write(os.path.join(self.folder, name), name)
                os.unlink(os.path.join(self.folder, name))

    def read(self, key):
        if not os.path.exists(self.tar):
            return super().read(key)
        self.zip = getattr(self, "zip", None) or zipfile.ZipFile(self.tar)
        return np.load(self.zip.open(os.path.basename(self.path(key))))["value"]


class DiskCache:
    """`diskcache`, with nothing thrown out."""

    synchronous = 1

    def __init__(self, folder, count):
        import diskcache

        self.db = diskcache.Cache(
            os.path.join(folder, "diskcache"), eviction_policy="none", size_limit=2**40,
            sqlite_synchronous=self.synchronous,
        )  # fmt: skip

    def write(self, key, value):
        self.db[key] = value

    def read(self, key):
        return self.db[key]

    def close(self):
        self.db.close()


class DurableDiskCache(DiskCache):
    """Its index reaches the disk; its files of large values do not."""

    synchronous = 2


class SqliteDict:
    """`sqlitedict`, which writes in a thread of its own; closing waits for it."""

    def __init__(self, folder, count):
        import sqlitedict

        os.makedirs(folder, exist_ok=True)
        self.db = sqlitedict.SqliteDict(
            os.path.join(folder, "store.sqlite"), autocommit=True, journal_mode="OFF"
        )

    def write(self, key, value):
        self.db[key] = value

    def read(self, key):
        return self.db[key]

    def close(self):
        self.db.close()


STORES = {
    "amp": Amp,
    "amp-durable": DurableAmp,
    "amp1": Amp1,
    "npz": Npz,
    "npz-durable": DurableNpz,
    "zip": Zip,
    "diskcache": DiskCache,
    "diskcache-durable": DurableDiskCache,
    "sqlitedict": SqliteDict,
}


def timed(work):
    """Call a function and give the seconds that it took by the clock."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def read_all(store, keys):
    """Read entries, and look at them so that maps of memory are really read."""
    total = 0.0
    for key in keys:
        total += float(store.read(key)[-1])
    return total


def phase(name, store, count, size, n_reads):
    """Do one phase; give seconds per entry, or in all for an archive."""
    if name == "write":
        items = list(values(count, size))

        def write():
            for key, value in items:
                store.write(key, value)
            store.close()

        return timed(write) / count
    if name == "archive":
        return timed(store.archive)
    keys = names(count, n_reads)
    cold = timed(lambda: read_all(store, keys)) / len(keys)
    if name == "cold":
        return cold
    return min(timed(lambda: read_all(store, keys)) for _ in range(3)) / len(keys)


def main():
    kind, name, folder, count, size, n_reads = sys.argv[1:]
    store = STORES[kind](folder, int(count))
    print(phase(name, store, int(count), int(size), int(n_reads)))


if __name__ == "__main__":
    main()
