"""Time what decides how long people wait, beside Amp 1.0.1 and the speed of the memory.

    python benchmarks/hot_paths.py                     # everything, some minutes
    python benchmarks/hot_paths.py --only md loss      # some sections
    python benchmarks/hot_paths.py --short             # under a minute; fails on lost speed

AMP_SHARED names the folder of the larger reference data; rows that need a file of it are left out
where it is not there. Amp 1.0.1 is installed into an environment of its own (--amp1-env), which
needs gfortran and a Python before 3.12, or left out. What the columns mean: docs/benchmarks.rst.
"""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import ExitStack
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"  # before numpy is first imported: a second thread is asked for by name

import _amp1  # noqa: E402
import _checks  # noqa: E402
from _rows import about, table_head, table_line, write_json  # noqa: E402
from _sections import SECTIONS, Bench  # noqa: E402
from _workloads import Missing, slabs  # noqa: E402


def main(argv: list[str] | None = None) -> int:
    """Run what is asked for, print a table, and give the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=7, help="counted runs of everything")
    parser.add_argument("--json", type=Path, help="write the results here too")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS),
                        metavar="SECTION", help=f"some of {', '.join(SECTIONS)}")  # fmt: skip
    parser.add_argument("--amp1-env", type=Path, default=_amp1.default_folder(), metavar="FOLDER",
                        help="environment of Amp 1.0.1, made if need be")  # fmt: skip
    parser.add_argument("--amp1-images", type=int, default=5, metavar="N",
                        help="images for Amp 1.0.1, spread over the set")  # fmt: skip
    parser.add_argument("--no-amp1", action="store_true", help="leave Amp 1.0.1 out")
    parser.add_argument("--short", action="store_true",
                        help="only check ratios and counts; status 1: speed was lost")  # fmt: skip
    options = parser.parse_args(argv)
    if options.short:
        return _checks.main(options.json)
    describe()
    with ExitStack() as stack:
        amp1 = None if options.no_amp1 else start_amp1(options, stack)
        bench = Bench(options.repeats, amp1)
        rows = []
        print(table_head())
        for name in options.only:
            try:
                for row in SECTIONS[name](bench):
                    rows.append(row)
                    print(table_line(row), flush=True)
            except Missing as error:
                print(f"{name}: left out, {error}", flush=True)
    if options.json:
        versions = None if amp1 is None else amp1.versions
        write_json(options.json, rows, {"amp1": versions, "repeats": options.repeats})
    return 0


def describe() -> None:
    """Print versions and machine."""
    told = about()
    machine = told["machine"]
    versions = [f"{name} {version}" for name, version in told["versions"].items()]
    print(f"commit {told['commit']}; Python {told['python']}, {', '.join(versions)}")
    print(", ".join(f"{name} {value}" for name, value in machine.items()))
    print()


def start_amp1(options: argparse.Namespace, stack: ExitStack) -> _amp1.Amp1 | None:
    """Start Amp 1.0.1 on some of the slabs, or say why not."""
    if not {"hashing", "derivatives", "loss"} & set(options.only):
        return None
    try:
        images = slabs()
        some = images[:: max(1, len(images) // options.amp1_images)]
        amp1 = stack.enter_context(_amp1.running(options.amp1_env, some))
    except (Missing, _amp1.Unavailable) as error:
        print(f"Amp 1.0.1 is left out: {error}.\n")
        return None
    told = ", ".join(f"{name} {version}" for name, version in amp1.versions.items())
    print(f"Amp 1.0.1 ({told}) runs on {amp1.n_images} of the {len(images)} slabs; its times for")
    print("all of them are these, scaled.\n")
    return amp1


if __name__ == "__main__":
    sys.exit(main())
