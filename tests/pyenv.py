"""Python modules for scripts that are started by hand: tests/requirements.txt, in build/venv.

A script calls need("numpy") before it imports numpy. Where the running Python has it, nothing
happens; else the environment that scripts/test uses is made, if it is not there yet, and the script
starts again in it.
"""
import importlib.util
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
VENV = ROOT / "build/venv"


def make():
    """The steps of scripts/test's first part, with the packages that Python needs only."""
    python = VENV / "bin/python"
    wanted = (ROOT / "tests/requirements.txt").read_bytes()
    mark = VENV / "requirements.txt"
    if not python.exists():
        if subprocess.run([sys.executable, "-m", "venv", str(VENV)]).returncode != 0:
            subprocess.run(["sh", "scripts/packages", "test"], cwd=ROOT, check=True)
            subprocess.run(["python3", "-m", "venv", str(VENV)], check=True)
    if not mark.exists() or mark.read_bytes() != wanted:
        subprocess.run([str(python), "-m", "pip", "install", "-q", "-r",
                        str(ROOT / "tests/requirements.txt")], check=True)
        mark.write_bytes(wanted)
    return python


def need(*modules):
    if all(importlib.util.find_spec(m) for m in modules):
        return
    if sys.prefix == str(VENV):
        raise SystemExit(f"{VENV} lacks one of: {', '.join(modules)}")
    python = str(make())
    os.execv(python, [python, *sys.argv])
