"""Experiments run in this process, as from the command line; a module's is its EXPERIMENT."""

import json
import signal
from typing import Any, NamedTuple

import jax
import pytest

from experiments import few_labels
from trinity_jax.compute import program
from trinity_jax.compute.run import Run
from trinity_jax.data.augmentation.rendering import Layer


class Kept(NamedTuple):
    """A program in place of the function that it was compiled of."""

    program: Any

    def lower(self, *_):
        return self

    def compile(self):
        return self.program


@pytest.fixture(scope="module")
def call(request):
    """`call(words) -> status`; a run that is taken up again has the program of the one before."""
    jax.devices()  # once JAX has been used, a program cannot change how many there are
    module, programs, compiled = request.module.EXPERIMENT, {}, Run.compile
    name = module.__name__.rpartition(".")[2]

    def run(words):
        handler = signal.getsignal(signal.SIGTERM)
        try:
            program.main(name, module.PRESETS, module.experiment, module.__doc__, words)
        except SystemExit as stop:
            return stop.code
        finally:
            signal.signal(signal.SIGTERM, handler)

    def once_only(self, function, start, total, *arguments):
        asked = json.dumps(self.config)
        kept = Kept(programs[asked]) if asked in programs else function
        found = compiled(self, kept, start, total, *arguments)
        return found if found is None else programs.setdefault(asked, found)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", jax.config.jax_compilation_cache_dir)
        patch.setattr(Run, "compile", once_only)
        yield run


@pytest.fixture
def told(call, capsys):
    """`told(words) -> (status, out, err)`."""
    return lambda words: (call(words), *capsys.readouterr())


@pytest.fixture(scope="module")
def cut_short(call):
    """`cut_short(words, t)` is a run that someone stops, by Ctrl-C, once round t is committed."""
    commit = Run.commit

    def run(words, last):
        def killed(self, t, *rest):
            commit(self, t, *rest)
            if t == last:
                raise KeyboardInterrupt

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Run, "commit", killed)
            assert call(words) == 130

    return run


@pytest.fixture(scope="module")
def small_layers():
    """Those of a network that is soon compiled, which is also the experiments' small one."""
    layers = (Layer(4, pool=2), Layer(6, pool=2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(few_labels.LAYERS, "small", layers)
        yield layers
