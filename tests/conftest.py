"""Settings for every test: four simulated devices, strict ranks, keys used once."""

import gc
import os
import pathlib
import signal

import jax
import pytest

# Tests compile far more than they compute. Without optimisation, and by XLA's older emitters, which
# JAX 0.11 no longer has, they take a quarter less of all time where no programs are kept.
OLDER = " --xla_cpu_use_fusion_emitters=false" if jax.__version_info__ < (0, 11) else ""
os.environ.setdefault("XLA_FLAGS", f"--xla_backend_optimization_level=0{OLDER}")
# Tracing makes many objects that live on: looking for cycles among them takes a sixth of the time.
gc.set_threshold(200_000, 20, 50)
# A suite in the background may ignore Ctrl-C, and what it starts would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)

# A compiled program is the same in every test run, so the suite keeps them between runs.
CACHE = pathlib.Path(
    os.environ.get("JAX_COMPILATION_CACHE_DIR", pathlib.Path.home() / ".cache/trinity_jax/tests")
)
jax.config.update("jax_compilation_cache_dir", str(CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.05)


def pytest_sessionstart():
    """Four devices, and the flags of programs, now, so that none is compiled under other ones."""
    from trinity_jax.compute import mesh

    mesh.use_cores()
    jax.config.update("jax_num_cpu_devices", 4)


# Real data are not part of the repository; tests that want them say where they looked.
REAL_DATA = pathlib.Path(os.environ.get("TRINITY_DATA", "../shared/data")).resolve()


@pytest.fixture
def real_data():
    """A function from a path under the real data to that path, or a skip that names it."""

    def find(*parts):
        path = REAL_DATA.joinpath(*parts)
        if not path.exists():
            pytest.skip(f"needs {path} (set TRINITY_DATA to the folder that holds it)")
        return path

    return find
