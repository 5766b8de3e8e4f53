"""What is installed is what is here: a wheel, built, installed elsewhere and used."""

import importlib.util
import pathlib
import subprocess
import sys
import sysconfig
import zipfile

import pytest

import trinity_jax

LIBRARY = pathlib.Path(trinity_jax.__file__).parent
ROOT = LIBRARY.parent
NO_INDEX = ("No matching distribution", "Could not find a version", "Connection", "resolution")


def run(*command, cwd=None):
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)
    return ran.returncode, ran.stdout + ran.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    alone = importlib.util.find_spec("hatchling") is None
    how = [] if alone else ["--no-isolation"]
    command = [sys.executable, "-m", "build", "--wheel", *how, "--outdir", str(folder), str(ROOT)]
    status, said = run(*command)
    if status and alone and any(words in said for words in NO_INDEX):
        pytest.skip("building a wheel needs hatchling, or a package index to get it from")
    assert status == 0, said
    [path] = folder.iterdir()
    return path


def test_the_wheel_holds_the_library_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    about = f"trinity_jax-{trinity_jax.__version__}.dist-info/"
    assert {name for name in names if not name.startswith(about)} == {
        path.relative_to(ROOT).as_posix()
        for path in LIBRARY.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert "trinity_jax/py.typed" in names
    metadata = zipfile.ZipFile(wheel).read(about + "METADATA").decode()
    assert "\nRequires-Python: >=3.11\n" in metadata
    assert "\nRequires-Dist: jax<" in metadata
    assert about + "licenses/LICENSE" in names


USE = """
import importlib, importlib.metadata, pkgutil, sys
import trinity_jax
assert trinity_jax.__file__.startswith(sys.prefix), trinity_jax.__file__
assert importlib.metadata.version("trinity_jax") == trinity_jax.__version__
for module in pkgutil.walk_packages(trinity_jax.__path__, "trinity_jax."):
    importlib.import_module(module.name)

import jax
from trinity_jax.algorithms.em import fit
from trinity_jax.data.aggregation.annotations import annotations
from trinity_jax.data.aggregation.dawid_skene import dawid_skene

table, dims = annotations([0, 0, 0, 1, 1, 1], [0, 1, 2, 0, 1, 2], [0, 0, 1, 1, 1, 1])
state, _ = fit(dawid_skene(dims), jax.random.key(0), table, 10)
print("labels", *state.log_posterior.argmax(1).tolist())
"""


def test_the_wheel_works_where_there_is_no_source(wheel, tmp_path):
    """In an environment of its own, which sees our dependencies but not our tree."""
    if importlib.util.find_spec("pip") is None:
        pytest.skip("installing a wheel needs pip")
    home = tmp_path / "environment"
    assert run(sys.executable, "-m", "venv", "--without-pip", home)[0] == 0
    python = home / "bin/python"
    site = home / f"lib/python{sysconfig.get_python_version()}/site-packages"
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
    status, said = run(*pip, "install", "--no-deps", "--no-index", wheel)
    assert status == 0, said
    assert (site / "trinity_jax/py.typed").exists()
    status, said = run(python, "-c", USE, cwd=tmp_path)
    assert status == 0, said
    assert said.splitlines()[-1] == "labels 0 1"
