"""Prepare the checkout's own virtual environment, for the scripts beside this one.

Standard library only. The syntax is old on purpose: a Python that is too old must get as far as the
sentence that says so.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

__all__ = ["CHECKOUT", "prepare", "quit_if_python_is_too_old", "run", "say"]

CHECKOUT = Path(__file__).resolve().parent.parent
OLDEST_PYTHON = (3, 10)
OLDEST_PIP = (21, 3)  # the first that can install a pyproject.toml project in place
STAMP = "amp-tools.json"
NETWORK_TROUBLE = (
    "NewConnectionError",
    "name resolution",
    "Network is unreachable",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "ProxyError",
    "SSLError",
    "Connection refused",
)


def quit_if_python_is_too_old():
    """End the script with a sentence, not a traceback, where Amp cannot run."""
    if sys.version_info < OLDEST_PYTHON:
        _quit(
            f"Amp needs Python {OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]} or later; this is "
            f"{sys.version.split()[0]} ({sys.executable}). Start this script with a newer one, "
            f"for example: python3.11 {sys.argv[0]}"
        )


def prepare(extras):
    """Make or reuse `.venv` in the checkout, with Amp installed in place.

    Parameters
    ----------
    extras : list of str
        The optional dependencies to install as well, as `pyproject.toml` names them.

    Returns
    -------
    pathlib.Path
        The environment's Python.
    """
    environment = CHECKOUT / ".venv"
    python = _python_of(environment)
    _make_sound(environment, python)
    stamp = environment / STAMP
    wanted = set(extras)
    remembered = _read_stamp(stamp)
    if wanted <= remembered and _sees_this_checkout(python):
        say(f"Using the environment {environment}")
        return python
    wanted |= remembered
    say(f"Installing Amp [{', '.join(sorted(wanted))}] into {environment}")
    if not stamp.exists():
        say("This first time it downloads a few hundred megabytes and takes some minutes.")
    started = time.monotonic()
    if _pip_version(python) < OLDEST_PIP:
        _pip(python, ["install", "--upgrade", "pip"])
    _pip(python, ["install", "--editable", f"{CHECKOUT}[{','.join(sorted(wanted))}]"])
    if not _sees_this_checkout(python):
        _quit(
            f"pip ended without an error, but {python} cannot import Amp from {CHECKOUT}. "
            f"Remove {environment} and start again."
        )
    stamp.write_text(json.dumps({"key": _stamp_key(), "extras": sorted(wanted)}))
    say(f"Installed in {time.monotonic() - started:.0f} s")
    return python


def run(command, cwd=None, **variables):
    """Run a command to its end, with these environment variables unless set; return its status."""
    environment = dict(variables, **os.environ)
    say("$ " + " ".join(str(word) for word in command))
    try:
        return subprocess.call([str(word) for word in command], cwd=cwd, env=environment)
    except KeyboardInterrupt:
        return 130


def say(line):
    """Print a line at once, so that it comes before what subprocesses print."""
    print(line, flush=True)


def _python_of(environment):
    """Say where a virtual environment keeps its Python."""
    if os.name == "nt":
        return environment / "Scripts" / "python.exe"
    return environment / "bin" / "python"


def _make_sound(environment, python):
    """Leave an environment whose Python runs, is new enough and has pip."""
    if environment.exists() and not (environment / "pyvenv.cfg").exists():
        _quit(f"{environment} is not a virtual environment. Move it away and start again.")
    if environment.exists():
        version = _ask(python, "import sys; print(*sys.version_info[:2])")
        if version is None:
            say(f"The environment {environment} is broken; making it anew")
            shutil.rmtree(str(environment))
        elif tuple(int(part) for part in version.split()) < OLDEST_PYTHON:
            _quit(f"The Python of {environment} is too old for Amp. Remove it and start again.")
    if not environment.exists():
        say(f"Making the environment {environment} with Python {sys.version.split()[0]}")
        made = _captured([sys.executable, "-m", "venv", environment])
        if made.returncode != 0:
            shutil.rmtree(str(environment), ignore_errors=True)
            _quit(
                f"Python could not make the virtual environment {environment}. On Debian and "
                "Ubuntu the module for it is a package of its own (apt install python3-venv). "
                f"Python said:\n{made.stdout}"
            )
    if _pip_version(python) == ():
        _captured([python, "-m", "ensurepip", "--upgrade"])
        if _pip_version(python) == ():
            _quit(f"The environment {environment} has no pip. Remove it and start again.")


def _pip_version(python):
    """Return pip's version as a tuple of two integers, empty without pip."""
    answer = _ask(python, "import pip; print(pip.__version__)")
    return tuple(int(part) for part in answer.split(".")[:2]) if answer else ()


def _pip(python, arguments):
    """Run pip quietly; when it fails, show the end of what it said and what may be done."""
    done = _captured(
        [python, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", *arguments]
    )
    if done.returncode == 0:
        return
    tail = "\n".join("    " + line for line in done.stdout.strip().splitlines()[-15:])
    advice = "Start this script again once the cause is mended; it goes on where it stopped."
    if any(sign in done.stdout for sign in NETWORK_TROUBLE):
        advice = (
            "The package index could not be reached: check the network connection and the proxy "
            "settings, then start this script again."
        )
    _quit(f"pip failed with status {done.returncode}. It said:\n{tail}\n{advice}")


def _sees_this_checkout(python):
    """Tell whether the environment imports Amp from here, wherever it is started."""
    found = _ask(python, "import amp; print(amp.__file__)", cwd=str(python.parent))
    return found is not None and Path(found).resolve() == CHECKOUT / "amp" / "__init__.py"


def _read_stamp(stamp):
    """Return the extras that were installed for the project's present requirements."""
    try:
        content = json.loads(stamp.read_text())
        return set(content["extras"]) if content["key"] == _stamp_key() else set()
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def _stamp_key():
    """Change whenever the requirements may have changed."""
    return hashlib.sha256((CHECKOUT / "pyproject.toml").read_bytes()).hexdigest()


def _ask(python, code, cwd=None):
    """Return what a line of Python prints in the environment, None if it cannot."""
    try:
        done = _captured([python, "-c", code], cwd=cwd, stderr=subprocess.DEVNULL)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _captured(command, cwd=None, stderr=subprocess.STDOUT):
    """Run a command and keep what it says; PYTHONPATH would show it other packages."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        check=False,
    )


def _quit(message):
    """End the script with an error for people."""
    sys.exit(f"{Path(sys.argv[0]).name}: error: {message}")
