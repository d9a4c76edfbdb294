"""Compare a potential with reference energies, forces and stresses.

Prints errors (MAE, RMSE, largest) of energies per atom, force components and stress components:
of all images, by element, and by the kind of image where images say what they are.
"""

from __future__ import annotations

import argparse

from amp.cli.arguments import check_free, write_json

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `amp evaluate`."""
    parser.add_argument("potential", metavar="POTENTIAL", help="potential file (.amp)")
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGES",
        help="files with structures and results, of any format that ASE reads; FILE@SLICE takes "
        "some of them, such as run.traj@::10",
    )
    parser.add_argument(
        "--json", metavar="FILE", help="write the errors as JSON; '-' prints JSON and no tables"
    )
    parser.add_argument(
        "--group-by",
        metavar="KEY",
        help="entry of the structures' info by which errors are given too (default: config_type "
        "or group, if there is one)",
    )
    parser.add_argument(
        "--parity", metavar="FILE", help="plot predictions against references (.png, .pdf, .svg)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")


def run(arguments: argparse.Namespace) -> int:
    """Run `amp evaluate`."""
    from amp.analysis import draw_parity, evaluate
    from amp.analysis.figures import check_plotfiles

    # Before the work, which may take long.
    if arguments.parity is not None:
        check_plotfiles(arguments.parity, overwrite=arguments.overwrite)
    if arguments.json not in (None, "-"):
        check_free(arguments.json, overwrite=arguments.overwrite)
    result = evaluate(arguments.potential, arguments.images, group_by=arguments.group_by)
    if arguments.json != "-":
        print(result.table())
    if arguments.json is not None:
        write_json(result.to_dict(), arguments.json)
    if arguments.parity is not None:
        draw_parity(result.comparison, arguments.parity, overwrite=arguments.overwrite)
    return 0
