"""The tree is the design: who may import whom, and what stays out of the mathematics."""

import ast
import pathlib
import statistics
import subprocess
import sys

import trinity_jax

LIBRARY = pathlib.Path(trinity_jax.__file__).parent
EXPERIMENTS = LIBRARY.parent / "experiments"
PATHS = {path.relative_to(LIBRARY).as_posix(): path for path in sorted(LIBRARY.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text()) for name, path in PATHS.items()}

# What the files of a folder may import of ours; the first that fits holds.
ARROWS = {
    "__init__.py": (),
    "types.py": (),
    "watch.py": (),
    "prepare.py": ("data", "compute", "types"),
    "algorithms/": ("algorithms", "types", "watch"),
    "data/aggregation/": ("data.aggregation", "algorithms", "types", "watch"),
    "data/augmentation/": ("data.augmentation", "algorithms", "types", "watch"),
    "data/collection/": ("data.collection", "algorithms", "types", "watch"),
    "data/": ("data", "algorithms", "types"),
    "compute/": ("compute", "types", "watch", "__version__"),
    "aggregate/": ("aggregate", "data", "algorithms", "compute", "types"),
}
ONLY_IN = {
    # Each of them hands out pure functions of plain pytrees; nobody else sees a module.
    "flax": ("algorithms/networks.py", "algorithms/encoder.py", "algorithms/tagger.py"),
    "tensorflow_datasets": ("data/_tfds",),
    "grain": ("data/streaming.py",),
    "tensorboard": ("compute/scalars.py",),
    "orbax": ("compute/checkpoint.py",),
    "tyro": ("compute/program.py", "aggregate/command.py", "prepare.py"),
    "pyarrow": ("data/_parquet.py", "aggregate/files.py"),
    **dict.fromkeys(("tensorflow", "torch", "matplotlib", "experiments", "tests"), ("nowhere",)),
}
PLACEMENT = {
    *("jit", "pjit", "pmap", "shard_map", "psum", "pmean", "all_gather", "axis_index"),
    *("Mesh", "make_mesh", "NamedSharding", "PartitionSpec", "with_sharding_constraint"),
    *("devices", "local_devices", "device_count", "default_backend", "device_put"),
    *("process_index", "process_count"),
}


def imports(tree):
    """The modules that a file imports, wherever in it; `from a import b` is a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def names(tree):
    """Every name and attribute that a file uses."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names)


def test_imports_follow_the_arrows():
    for name, tree in TREES.items():
        targets = next(of for start, of in ARROWS.items() if name.startswith(start))
        allowed = tuple(f"trinity_jax.{target}." for target in targets)
        for module in imports(tree):
            if f"{module}.".startswith("trinity_jax."):
                assert f"{module}.".startswith(allowed), f"{name} imports {module}"


def test_heavy_packages_stay_behind_one_file():
    for name, tree in TREES.items():
        for module in imports(tree):
            places = ONLY_IN.get(module.split(".")[0])
            assert places is None or name.startswith(places), f"{name} imports {module}"


def test_the_mathematics_does_not_know_where_it_runs():
    for name, tree in TREES.items():
        if name.startswith(("data/", "algorithms/")):
            assert PLACEMENT.isdisjoint(names(tree)), name


def test_the_library_does_not_print():
    """But for the sentence, on stderr, with which a program ends."""
    for name, tree in TREES.items():
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        prints = [call for call in calls if getattr(call.func, "id", "") == "print"]
        assert not prints or name == "compute/program.py", name
        assert all("file" in {word.arg for word in call.keywords} for call in prints), name


def test_files_are_short():
    for name, path in PATHS.items():
        assert len(path.read_text().splitlines()) <= 400, name
    for path in EXPERIMENTS.rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 200, path.name


def test_the_rules_see_what_they_forbid():
    code = "def f():\n  import flax.linen as nn\n  from jax import jit\n  jax.devices()"
    assert list(imports(ast.parse(code))) == ["flax.linen", "jax.jit"]
    assert PLACEMENT & set(names(ast.parse(code))) == {"jit", "devices"}
    seen = {name: set(imports(tree)) for name, tree in TREES.items()}
    assert "flax.linen" in seen["algorithms/networks.py"]
    assert "trinity_jax.types.InputError" in seen["data/sources.py"]
    assert "Mesh" in set(names(TREES["compute/mesh.py"]))


def run(code):
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return ran.stdout


IMPORT_ALL = """
import importlib, pkgutil, sys
import trinity_jax.algorithms, trinity_jax.data
for package in (trinity_jax.algorithms, trinity_jax.data):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
print(*sys.modules)
"""


def test_the_mathematics_and_the_readers_import_what_they_need_and_no_more():
    loaded = run(IMPORT_ALL).split()
    assert "trinity_jax.data.aggregation.dawid_skene" in loaded
    heavy = {"tensorflow", "orbax", "tensorflow_datasets", "tyro", "matplotlib", "sklearn"}
    assert heavy.isdisjoint(name.split(".")[0] for name in loaded)


def test_importing_the_package_costs_nothing():
    clock = "import jax, time; began = time.perf_counter(); import trinity_jax; "
    seconds = [float(run(clock + "print(time.perf_counter() - began)")) for _ in range(3)]
    assert statistics.median(seconds) < 1


def test_importing_experiments_does_not_wake_jax():
    """Once it has been used, a program cannot make a device of each core, nor join others."""
    names = [path.stem for path in sorted(EXPERIMENTS.glob("*.py")) if path.stem != "__init__"]
    code = "import importlib\n"
    code += f"for name in {names}: importlib.import_module(f'experiments.{{name}}')\n"
    code += "import jax._src.xla_bridge as bridge; assert not bridge.backends_are_initialized()"
    root = EXPERIMENTS.parent
    told = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
