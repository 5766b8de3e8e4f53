"""Looks for bytes that a reader neither takes nor refuses in a sentence, led by what code they run.

    python tests/data/fuzz_readers.py                    every file of every reader, 20 s each
    python tests/data/fuzz_readers.py npz idx --seconds 600 --findings DIR
    python tests/data/fuzz_readers.py --keep             ... and what ran code that others did not

Needs atheris (`pip install 'trinity_jax[fuzz]'`), which is libFuzzer for Python. Begins with the
files of `whole_files` and what `hostile` makes of them. A reader has 5 s and 2 GB for an input.
What breaks one lies in the folder of findings. What is kept, in `tests/fixtures/fuzzed.json`, is
read again by the tests; whatever is found belongs there too once the reader is mended.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
KEPT = HERE.parent / "fixtures" / "fuzzed.json"  # {reader: {file: [bytes as Latin-1]}}
SECONDS, LONGEST, SHORT = 20, 4096, 200  # the last of what is kept
OURS = ("trinity_jax.data", "trinity_jax.aggregate", "trinity_jax.algorithms.spans")
THEIRS = ("zipfile", "gzip", "numpy.lib", "PIL")
WORDS = (
    *(",", '"', '""', "\t", " ", "\n", "\r", "\r\n", "\0", "\ufeff", "-", "_", "|", "#", "*"),
    *("O", "B-", "I-", "E-", "S-", "B-PER", "-DOCSTART-", "#begin document", "#end document"),
    *("(", ")", "(A*", "*)", "(A)", "0", "1", "-1", "9999999999", "1e999", "nan", "inf", "0x1"),
    *("{", "}", "[", "]", ":", "null", "true", '"labels"', '"parents"', '"workers"', '"prior"'),
    *("item,worker,label", "parent,child", "strategy,seed,words,score", "PAR1", "PK", "NUMPY"),
    *("'descr': '|O'", "'shape': (2**62,)", "'fortran_order': True", "n01443537", "@", "@i"),
)


def look(name: str, file: str, folder: pathlib.Path, *options: str) -> None:
    """Fuzzes one file of a reader in this process, which it ends."""
    import atheris

    with atheris.instrument_imports(include=[*OURS, *THEIRS]):
        import whole_files

    whole = whole_files.whole_files()[name]
    whole_files.lay(folder, whole.files)

    def once(data: bytes) -> None:
        whole_files.lay(folder, {file: data})
        whole_files.assert_taken_or_refused(whole.read, folder)

    atheris.Setup([sys.argv[0], *options], once)
    atheris.Fuzz()


def plant(name: str, file: str, seeds: pathlib.Path) -> None:
    """Writes what to begin with."""
    import whole_files
    from hostile import BYTES

    data = whole_files.whole_files()[name].files[file]
    contents = [data, *(attack(data) for attack in BYTES.values())]
    for number, content in enumerate(contents):
        if len(content) <= LONGEST:
            (seeds / f"{number:03}").write_bytes(content)


def call(name: str, file: str, work: pathlib.Path, *options: str) -> tuple[int, str]:
    """Runs `look` in a process of its own; returns its status and what it said."""
    path = os.pathsep.join([*map(str, (HERE, *HERE.parents[:2])), *sys.path])
    code = "import fuzz_readers as f, pathlib, sys; n, file, folder, *o = sys.argv[1:]; "
    code += "f.look(n, file, pathlib.Path(folder), *o)"
    command = [sys.executable, "-c", code, name, file, str(work / "folder"), *options]
    how = {"env": os.environ | {"PYTHONPATH": path}, "text": True, "errors": "replace"}
    ran = subprocess.run(command, capture_output=True, **how)
    return ran.returncode, ran.stderr


def fuzz(name: str, file: str, seconds: int, findings: pathlib.Path) -> tuple[bool, list[str]]:
    """Whether nothing was found, and short inputs that ran code that others did not."""
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        seeds, words = work / "seeds", work / "words"
        for made in (seeds, work / "folder"):
            made.mkdir()
        plant(name, file, seeds)
        escape = lambda word: "".join(f"\\x{byte:02x}" for byte in word.encode())
        words.write_text("".join(f'"{escape(word)}"\n' for word in WORDS))
        limits = [f"-max_len={LONGEST}", "-timeout=5", "-rss_limit_mb=2048"]
        place = f"-artifact_prefix={findings}/{name} {pathlib.Path(file).name} "
        more = [f"-max_total_time={seconds}", f"-dict={words}", "-print_final_stats=1", place]
        status, said = call(name, file, work, *limits, *more, str(seeds))
        of = [line for line in said.splitlines() if "executed_units" in line or " cov: " in line]
        told = " ".join([f"{name}: {file}: status {status}", *of[-2:]])
        sys.stdout.write(f"{' '.join(told.split())}\n{said[-3000:] * (status != 0)}")
        sys.stdout.flush()
        new = (path.read_bytes() for path in seeds.iterdir() if not path.name.isdecimal())
        return status == 0, sorted(one.decode("latin-1") for one in new if len(one) <= SHORT)


def main() -> None:
    sys.path += map(str, HERE.parents[:2])
    import whole_files

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("readers", nargs="*")
    parser.add_argument("--seconds", type=int, default=SECONDS)
    parser.add_argument("--findings", type=pathlib.Path, default=pathlib.Path("findings"))
    parser.add_argument("--keep", action="store_true")
    given = parser.parse_args()
    given.findings.mkdir(exist_ok=True)
    held = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    good = True
    for name, whole in whole_files.whole_files().items():
        for file in whole.broken if name in given.readers or not given.readers else ():
            clean, new = fuzz(name, file, given.seconds, given.findings.resolve())
            good &= clean
            held.setdefault(name, {})[file] = new
    if given.keep:
        KEPT.write_text(json.dumps(held, indent=0) + "\n")
    raise SystemExit(not good)


if __name__ == "__main__":
    main()
