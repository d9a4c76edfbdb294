"""Images: reading, identifying, checking and splitting sets of structures.

An image is an `ase.Atoms`. Its key (hash) names it in every mapping and cache.
"""

from __future__ import annotations

import copy
import hashlib
import logging
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from amp.core.errors import ConflictingImagesError, ImageError, MissingDataError, ParameterError
from amp.core.neighbors import neighbor_pairs

__all__ = [
    "Images",
    "MetaDict",
    "OrderedMetaDict",
    "check_images",
    "enforce_magnetic_moments",
    "extract_an_atomic_chunk",
    "get_hash",
    "has_result",
    "hash_images",
    "image_places",
    "randomize_images",
    "read_images",
    "stored_result",
    "validate_images",
]

logger = logging.getLogger(__name__)

PathLike: TypeAlias = "str | os.PathLike[str]"
Images: TypeAlias = "Atoms | PathLike | Iterable[Atoms | PathLike] | Mapping[str, Atoms]"

# What numpy prints for three booleans; a table, for printing takes numpy 30 us.
PBC_TEXTS = {
    (a, b, c): f"[{' '.join('True'.rjust(5) if on else 'False' for on in (a, b, c))}]"
    for a in (False, True)
    for b in (False, True)
    for c in (False, True)
}
# The same structure computed twice agrees to this, in eV or eV/Å, whatever files it went through.
SAME_VALUE = 1e-6
UNITS = {"energy": "eV", "forces": "eV/Å", "stress": "eV/Å^3"}
MAGNETIC_MOMENTS = {"Fe": 2.0, "Co": 2.1, "Ni": 1.5, "Ru": 2.0, "Rh": 1.8}  # Bohr magnetons
SHOWN = 10  # images that an error about data names one by one


class MetaDict(dict[str, Any]):
    """Images by key, with what is known about the set as a whole.

    Attributes
    ----------
    metadata : dict
        Belongs to this object alone. After `hash_images`, ``metadata['duplicates']`` gives the
        number of times an image occurs, for images that occur more than once.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.metadata: dict[str, Any] = {}

    def copy(self) -> MetaDict:
        """Return a copy with the same values and a copy of the metadata."""
        return _copy_with_metadata(self)

    __copy__ = copy


class OrderedMetaDict(OrderedDict[str, Any]):
    """A `MetaDict` that is also an `OrderedDict`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.metadata: dict[str, Any] = {}

    def copy(self) -> OrderedMetaDict:
        """Return a copy with the same values and a copy of the metadata."""
        return _copy_with_metadata(self)

    __copy__ = copy


def get_hash(atoms: Atoms) -> str:
    """Identify a structure.

    Periodicity, cell, atomic numbers and positions enter, the latter with 15 decimals (Å);
    magnetic moments, charges, tags, constraints and results do not. The keys are those of
    Amp 1.0.1, also in that 0.0 and -0.0 differ.

    Parameters
    ----------
    atoms : ase.Atoms
        The structure.

    Returns
    -------
    str
        MD5 sum in hexadecimal digits.

    Raises
    ------
    ImageError
        If a position or the cell is not finite.
    """
    text = _identity(atoms)
    if "n" in text:  # of nan or inf, and of nothing else
        raise ImageError(f"This structure has no key: {'; '.join(_flaws(atoms))}.")
    return _digest(text)


def hash_images(
    images: Images | None,
    log: Callable[[str], Any] | None = None,
    ordered: bool = False,
    *,
    check_conflicts: bool = False,
) -> Any:
    """Collect images under their keys.

    Parameters
    ----------
    images : Atoms, path, iterable of these, mapping, or None
        See `read_images`. A mapping is taken for hashed and returned as it is; None gives None.
    log : callable, optional
        Takes the lines about repeated images and the number of images, such as a `Logger`.
    ordered : bool
        Make the result an `OrderedDict`, for programs that ask for one.
    check_conflicts : bool
        Refuse a structure that occurs with different stored energies, forces or stresses (by more
        than 1e-6 eV, eV/Å or eV/Å^3); of equal images the last one that has a calculator stays.
        Without it, the last of equal images silently stays.

    Returns
    -------
    MetaDict or OrderedMetaDict
        Images by key in their order; ``result.metadata['duplicates']`` counts repeated ones, and
        ``result.metadata['places']`` says where in the sequence each image was last.

    Raises
    ------
    FileNotFoundError
        If a path leads nowhere.
    ImageError
        If there are no images, or some have no atoms or positions or cells that are not finite.
    ConflictingImagesError
        If `check_conflicts` is set and one structure carries different results.
    """
    if images is None:
        return None
    write = log if log is not None else logger.info
    if isinstance(images, Mapping):
        write(f" {len(images)} unique images after hashing.")
        return images
    sequence = read_images(images)
    validate_images(sequence)
    result = OrderedMetaDict() if ordered else MetaDict()
    places: dict[str, list[int]] = {}
    for index, atoms in enumerate(sequence):
        key = get_hash(atoms)
        if key in result:
            write(
                f" Warning: image {index} is the same as image {places[key][-1]} ({key}); "
                "the later one is used."
            )
        if not (check_conflicts and key in result and atoms.calc is None):
            result[key] = atoms  # for training, one with results rather than a bare copy
        places.setdefault(key, []).append(index)
    repeated = {key: indices for key, indices in places.items() if len(indices) > 1}
    if check_conflicts:
        _refuse_conflicts(sequence, repeated)
    result.metadata["places"] = {key: indices[-1] for key, indices in places.items()}
    result.metadata["duplicates"] = {key: len(indices) for key, indices in repeated.items()}
    write(f" {len(result)} unique images after hashing.")
    return result


def read_images(images: Images) -> list[Atoms]:
    """Bring images into one list, from wherever they come.

    Parameters
    ----------
    images : Atoms, path, iterable of these, or mapping
        A path leads to any file that ASE reads, of which all images are taken, or those of
        ``'file@slice'``. Of a mapping the values are taken.

    Returns
    -------
    list of ase.Atoms
        All images in their order, repeated ones included.

    Raises
    ------
    FileNotFoundError
        If a path leads nowhere.
    ImageError
        If there are no images or a file cannot be read.
    TypeError
        If something is neither structure nor path.
    """
    if isinstance(images, Mapping):
        images = images.values()
    elif isinstance(images, Atoms | str | os.PathLike):
        images = [images]
    elif not isinstance(images, Iterable):
        raise TypeError(f"Images are Atoms, paths or a list of these, not {images!r}.")
    sequence: list[Atoms] = []
    for place, item in enumerate(images):
        if isinstance(item, Atoms):
            sequence.append(item)
        elif isinstance(item, str | os.PathLike):
            sequence.extend(_read_file(os.fspath(item)))
        else:
            raise TypeError(
                f"Item {place} of the images is neither Atoms nor a path but "
                f"{type(item).__name__}; give all images in one flat list."
            )
    if not sequence:
        raise ImageError("There are no images: the list or file given is empty.")
    return sequence


def image_places(images: Mapping[str, Any]) -> list[int]:
    """Give the place of each hashed image in the sequence that was hashed, for messages.

    Parameters
    ----------
    images : mapping
        Images by key, as from `hash_images`; those of another mapping are counted.
    """
    places = getattr(images, "metadata", {}).get("places", {})
    return [places.get(key, i) for i, key in enumerate(images)]


def validate_images(images: Images) -> None:
    """Refuse images that nothing can be computed for.

    Parameters
    ----------
    images : Atoms, path, iterable of these, or mapping
        As in `read_images`.

    Raises
    ------
    ImageError
        If images have no atoms, or positions or cells that are not finite. The message names
        all of them by index, key and atom.
    """
    reports = []
    for index, atoms in enumerate(read_images(images)):
        flaws = _flaws(atoms)
        if flaws:
            key = _digest(_identity(atoms))
            reports.append(f"  image {index} ({key[:8]}): {'; '.join(flaws)}")
    if reports:
        raise ImageError(
            f"{len(reports)} image(s) cannot be used; repair them or leave them out:\n"
            + "\n".join(reports)
        )


def check_images(images: Images, forces: bool, *, stress: bool = False) -> None:
    """Make sure that all images carry what is to be trained on.

    Stored results are looked at, and nothing is calculated: a live calculator counts as having
    what it says it can compute. Values that are not finite count as missing; of a stress,
    components may be NaN as long as one is not.

    Parameters
    ----------
    images : mapping
        Images by key, as from `hash_images`; anything else goes through it first.
    forces, stress : bool
        Ask for forces and for stress, besides energy.

    Raises
    ------
    MissingDataError
        If something is missing. The message counts, and names the first images of each kind.
    """
    wanted = ["energy", *(["forces"] if forces else []), *(["stress"] if stress else [])]
    missing: dict[str, list[str]] = {name: [] for name in wanted}
    by_key = images if isinstance(images, Mapping) else hash_images(images)
    for index, (key, atoms) in zip(image_places(by_key), by_key.items(), strict=True):
        for name in wanted:
            fault = _fault(atoms, name)
            if fault is not None:
                missing[name].append(f"image {index} ({key}){fault}")
    missing = {name: places for name, places in missing.items() if places}
    if missing:
        counts = " ".join(f"Missing {name} in {len(at)} image(s)." for name, at in missing.items())
        details = "".join(f"\n  {name}: {_first(places)}" for name, places in missing.items())
        raise MissingDataError(f"{counts} {_remedies(list(missing))}{details}")


def randomize_images(
    images: Images, fraction: float = 0.8, rng: np.random.Generator | None = None
) -> tuple[list[Atoms], list[Atoms]]:
    """Split images at random into a training and a test set.

    Parameters
    ----------
    images : Atoms, path, iterable of these, or mapping
        As in `read_images`.
    fraction : float
        Part that goes into the training set, in [0, 1].
    rng : numpy.random.Generator, optional
        Source of chance. Without it numpy's global generator is used, so that scripts that
        call `numpy.random.seed` get the split they had with Amp 1.0.1.

    Returns
    -------
    train, test : list of ase.Atoms
        ``int(fraction * n)`` images and the rest, each in the original order.

    Raises
    ------
    ParameterError
        If `fraction` is not in [0, 1].
    """
    if not 0.0 <= fraction <= 1.0:
        raise ParameterError(f"The fraction of training images must be in [0, 1], not {fraction}.")
    sequence = read_images(images)
    n_images = len(sequence)
    n_test = n_images - int(fraction * n_images)
    test: set[int] = set()
    if rng is None:
        while len(test) < n_test:  # one by one, as the old splits were drawn
            test.add(int(np.random.randint(n_images)))
    else:
        test.update(rng.permutation(n_images)[:n_test].tolist())
    return (
        [atoms for index, atoms in enumerate(sequence) if index not in test],
        [atoms for index, atoms in enumerate(sequence) if index in test],
    )


def stored_result(atoms: Atoms, name: str) -> Any:
    """Look up a result that was stored with a structure, without calculating anything.

    Parameters
    ----------
    atoms : ase.Atoms
        The structure.
    name : str
        Property of `ase.calculators`, such as ``'energy'`` (eV) or ``'forces'`` (eV/Å).

    Returns
    -------
    float, ndarray or None
        None if nothing is stored, or if the structure was changed since.
    """
    if isinstance(atoms.calc, SinglePointCalculator):
        return atoms.calc.get_property(name, atoms, allow_calculation=False)
    return None


def has_result(atoms: Atoms, name: str) -> bool:
    """Say whether a result is stored, or a live calculator says that it can compute it.

    Parameters
    ----------
    atoms : ase.Atoms
        The structure.
    name : str
        Property of `ase.calculators`.

    Returns
    -------
    bool
        Nothing is calculated to find out.
    """
    if atoms.calc is None or isinstance(atoms.calc, SinglePointCalculator):
        return stored_result(atoms, name) is not None
    return name in getattr(atoms.calc, "implemented_properties", UNITS)


def enforce_magnetic_moments(
    atoms: Atoms, supplied_magmom_dict: Mapping[str, float] | None = None
) -> Atoms:
    """Set initial magnetic moments by element: Fe 2.0, Co 2.1, Ni 1.5, Ru 2.0, Rh 1.8.

    Parameters
    ----------
    atoms : ase.Atoms
        The structure; it is changed. Other elements keep their moments.
    supplied_magmom_dict : mapping, optional
        Moments by symbol (Bohr magnetons) that come before, or are added to, those above.

    Returns
    -------
    ase.Atoms
        The same object.
    """
    moments = {**MAGNETIC_MOMENTS, **(supplied_magmom_dict or {})}
    initial = atoms.get_initial_magnetic_moments()
    for index, symbol in enumerate(atoms.symbols):
        initial[index] = moments.get(symbol, initial[index])
    atoms.set_initial_magnetic_moments(initial)
    return atoms


def extract_an_atomic_chunk(
    atoms: Atoms,
    index: int,
    parent_calc: Any = None,
    cutoff: float = 6.5,
    vacuum: float = 5.0,
) -> tuple[Atoms, tuple[str, int]]:
    """Cut an atom and its neighbors out of a structure, as a cluster.

    Parameters
    ----------
    atoms : ase.Atoms
        The structure; it is not changed.
    index : int
        The atom in the middle.
    parent_calc : ase calculator, optional
        Calculates energy and forces of the cluster, which are stored with it.
    cutoff : float
        Radius (Å) within which neighbors are taken, periodic images included.
    vacuum : float
        Empty space (Å) on all sides of the cluster.

    Returns
    -------
    cluster : ase.Atoms
        Non-periodic and without constraints; the atom is the first.
    identity : tuple (str, int)
        Key of the cluster, and 0 for its first atom.
    """
    index = range(len(atoms))[index]
    pairs = neighbor_pairs(atoms, cutoff)
    around = slice(pairs.starts[index], pairs.starts[index + 1])
    whole = atoms.copy()
    whole.set_constraint()
    cluster = whole[[index, *pairs.second[around].tolist()]]
    cluster.positions[1:] = atoms.positions[index] + pairs.vectors[around]
    cluster.positions[0] = atoms.positions[index]
    cluster.pbc = False
    cluster.center(vacuum=vacuum)
    if parent_calc is not None:
        cluster.calc = parent_calc
        energy, forces = cluster.get_potential_energy(), cluster.get_forces()
        cluster.calc = SinglePointCalculator(cluster, energy=energy, forces=forces)
    return cluster, (get_hash(cluster), 0)


def _identity(atoms: Atoms) -> str:
    """Return the text that identifies a structure, numbers that are not finite included."""
    n_atoms = len(atoms)
    numbers = "%.15f" * 9 + "%3d" * n_atoms + "%.15f" * (3 * n_atoms)
    return PBC_TEXTS[tuple(atoms.pbc.tolist())] + numbers % (
        *atoms.cell.array.ravel().tolist(),
        *atoms.numbers.tolist(),
        *atoms.positions.ravel().tolist(),
    )


def _digest(text: str) -> str:
    """Return the MD5 sum, which serves as a name and protects nothing."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _flaws(atoms: Atoms) -> list[str]:
    """Say what makes a structure unusable; empty if nothing does."""
    flaws = [] if len(atoms) else ["it has no atoms"]
    for axis in np.flatnonzero(~np.isfinite(atoms.cell.array).all(axis=1)):
        flaws.append(f"cell vector {axis} is not finite: {atoms.cell.array[axis].tolist()}")
    for i in np.flatnonzero(~np.isfinite(atoms.positions).all(axis=1)):
        flaws.append(f"atom {i} ({atoms.symbols[i]}) is at {atoms.positions[i].tolist()}")
    return flaws


def _read_file(name: str) -> list[Atoms]:
    """Read all images of a file, or those that ``@slice`` at the end of its name asks for."""
    path, index = name, ":"
    if not os.path.exists(name) and "@" in os.path.basename(name):
        path, index = name.rsplit("@", 1)
    if not os.path.exists(path):
        raise FileNotFoundError(
            f"There is no file {path!r} to read images from (working folder: {os.getcwd()!r})."
        )
    from ase.io import read

    try:
        found = read(path, index=index, do_not_split_by_at_sign=True)
    except PermissionError:
        raise
    except Exception as error:  # a reader may stumble over a broken file in any way
        raise ImageError(
            f"ASE cannot read images from {name!r}: {type(error).__name__}: {error}"
        ) from error
    return [found] if isinstance(found, Atoms) else list(found)


def _fault(atoms: Atoms, name: str) -> str | None:
    """Say why a property is missing; None if it is there, an empty text if it just is not."""
    if atoms.calc is None:
        return ", no calculator"
    if not isinstance(atoms.calc, SinglePointCalculator):
        # Asked only for its list: calling it may take hours.
        can_compute = getattr(atoms.calc, "implemented_properties", UNITS)
        return None if name in can_compute else ", its calculator does not compute it"
    value = stored_result(atoms, name)
    if value is None:
        is_stored = atoms.calc.results.get(name) is not None
        return ", the structure was changed after its calculation" if is_stored else ""
    finite = np.isfinite(value)
    # Components of a stress may be unknown, as along the vacuum of a slab.
    usable = finite.any() and not np.isinf(value).any() if name == "stress" else finite.all()
    return None if usable else ", not finite"


def _refuse_conflicts(images: list[Atoms], repeated: Mapping[str, list[int]]) -> None:
    """Raise an error that names the structures that occur with different results."""
    reports = [
        f"  images {indices} ({key}): {difference}"
        for key, indices in repeated.items()
        for difference in _differences([images[index] for index in indices])
    ]
    if reports:
        raise ConflictingImagesError(
            f"{len(reports)} structure(s) occur with different results, and no potential can "
            "fit both; keep those that belong to one set of calculations:\n" + "\n".join(reports)
        )


def _differences(same: list[Atoms]) -> Iterator[str]:
    """Describe in what the stored results of one structure differ."""
    for name, unit in UNITS.items():
        stored = [stored_result(atoms, name) for atoms in same]
        values = [np.asarray(value) for value in stored if value is not None]
        # Components that are NaN are unknown, and differ from nothing.
        spread = np.nan_to_num(np.ptp(values, axis=0)).max() if values else 0.0
        if spread > SAME_VALUE:
            shown = [value.item() for value in values] if name == "energy" else "values"
            yield f"{name} {shown} {unit}, apart by up to {spread:.3g} {unit}"


def _remedies(missing: list[str]) -> str:
    """Say what can be done about images that lack something."""
    ways = ["compute these images", "leave them out"]
    ways += [
        f"train without {name} ({setting}=None)"
        for name, setting in (("forces", "force_coefficient"), ("stress", "stress_coefficient"))
        if name in missing
    ]
    if "energy" not in missing:
        ways.append("train on what there is (accept_missing=True)")
    text = f"{', '.join(ways[:-1])} or {ways[-1]}."
    return text[0].upper() + text[1:]


def _first(places: list[str]) -> str:
    """Join the first few places into one text."""
    more = len(places) - SHOWN
    return ", ".join(places[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _copy_with_metadata(images: Any) -> Any:
    """Copy a mapping with metadata."""
    result = type(images)(images)
    result.metadata = copy.deepcopy(images.metadata)
    return result
