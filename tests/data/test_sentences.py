"""Tagged sentences in files of columns and in TFDS: what is read, what is refused and how."""

import pathlib
import re
import sys
import tempfile
import tracemalloc

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from broken_files import Bad, check_mutations, check_refused, write

from trinity_jax.algorithms.spans import first_illegal, iob2_to_bioes
from trinity_jax.data import sources
from trinity_jax.types import InputError

IOB2 = b"Ann\tB-PER\nLee\tI-PER\nsaw\tO\nRome\tB-LOC\n\nYes\tO\n\n"
FILES = {f"{split}.iob2": IOB2 for split in ("train", "dev", "test")}
# CoNLL-2003: word, part of speech, chunk, tag in IOB1; B- only next to a name of the same type.
IOB1 = b"""-DOCSTART- -X- O O

Ann NNP I-NP I-PER
Lee NNP I-NP I-PER
Bob NNP B-NP B-PER
saw VBD I-VP O
Rome NNP I-NP I-LOC

-DOCSTART- -X- O O

Yes UH I-INTJ O
"""
CONLL = {f"eng.{end}": IOB1 for end in ("train", "testa", "testb")}
MANY = b"Ann\tB-PER\n\n" * 8_000  # more than is read at once


def iob2(name, content, pattern, file="train.iob2"):
    return Bad(name, FILES | {file: content}, f"/{re.escape(file)}{pattern}", "iob2:{}")


def conll(name, content, pattern, file="eng.train"):
    return Bad(name, CONLL | {file: content}, pattern, "conll:{}")


def column(*tags):
    return "".join(f"w{i} X {tag}\n" for i, tag in enumerate(tags)).encode()


BAD = [
    iob2("empty", b"", ": expected sentences, found none"),
    iob2("byte-order mark only", b"\xef\xbb\xbf", ": expected sentences, found none"),
    iob2("blank lines only", b"\n\r\n\n", ": expected sentences, found none"),
    iob2("no tag", b"Ann\n", ", line 1: expected TOKEN<TAB>TAG, found 1 field in 'Ann'"),
    iob2("space", b"Ann B-PER\n", ", line 1: .*found 1 field in 'Ann B-PER'"),
    iob2("spaces only", b"Ann\tO\n  \n", ", line 2: .*found 1 field in '  '"),
    iob2("third column", IOB2 + b"Ann\tO\tx\n", r", line 8: .*found 3 fields in 'Ann\\tO\\tx'"),
    iob2("empty token", b"\n\tO\n", ", line 2: .*found an empty one in"),
    iob2("empty tag", b"Ann\t\n", ", line 1: .*found an empty one in"),
    iob2("comment", b"# id = 1\nAnn\tO\n", ", line 1: .*found 1 field in '# id = 1'"),
    iob2(
        "not UTF-8",
        IOB2 + b"caf\xe9\tO\n",
        ", line 8: .*in UTF-8, found byte 0xe9 at byte offset 3",
    ),
    iob2("UTF-16", IOB2.decode().encode("utf-16"), ", line 1: .*(NUL|0xff)"),
    iob2("NUL", b"An\0n\tO\n", ", line 1: .*found a NUL byte at byte offset 2"),
    iob2("10 MB on a line", b"x" * 10_000_000, ", line 1: .*longer than 1 MB"),
    iob2(
        "no blank lines", b"a\tO\n" * 10_001, ", line 10001: expected a blank line after 10000 to"
    ),
    iob2("no such scheme", b"Ann\tPER\n", ", line 1: expected O, B-X or I-X, found 'PER'"),
    iob2("BIOES", b"a\tO\nAnn\tS-PER\n", ", line 2: expected O, B-X or I-X, found 'S-PER'"),
    iob2("no type", b"Ann\tB-\n", ", line 1: expected O, B-X or I-X, found 'B-'"),
    iob2("small letters", b"Ann\tb-PER\n", ", line 1: expected O, B-X or I-X"),
    iob2(
        "IOB1", b"a\tO\n\nAnn\tI-PER\n", ", line 3: expected tags in IOB2, found 'I-PER' first in"
    ),
    iob2(
        "stray", b"a\tO\nAnn\tI-PER\n", ", line 2: expected tags in IOB2, found 'I-PER' after 'O'"
    ),
    iob2("other type", b"a\tB-X\nb\tI-Y\n", ", line 2: .*found 'I-Y' after 'B-X'"),
    iob2("over a blank", b"a\tB-X\n\nb\tI-X\n", ", line 3: .*found 'I-X' first in its sentence"),
    iob2(
        "many types", b"".join(b"a\tB-%d\n\n" % i for i in range(3000)), ".*at most 1000 entity ty"
    ),
    iob2("many distinct tags", b"".join(b"a\t%d\n" % i for i in range(9)), ", line 1: .*found '0'"),
    iob2("a folder", None, ": expected a file, found a folder"),
    iob2("wrong after many", MANY + b"Ann\n", ", line 16001: .*found 1 field"),
    iob2("wrong in dev", b"Ann\n", ", line 1: ", "dev.iob2"),
    iob2(
        "genres short",
        b"web\n",
        ": expected 2 lines, one a sentence of train.iob2, found 1",
        "train.genre",
    ),
    iob2("genres long", b"web\n" * 3, ": expected 2 lines, .*found 3", "train.genre"),
    iob2(
        "genre left out",
        b"web\n\nweb\n",
        ", line 2: expected a genre, found nothing",
        "train.genre",
    ),
    iob2("genre not UTF-8", b"web\n\xff\n", ", line 2: .*byte 0xff", "train.genre"),
    Bad(
        "part missing", {"train.iob2": IOB2, "dev.iob2": IOB2}, r"/test\.iob2: cannot be", "iob2:{}"
    ),
    Bad("no folder", {}, "/gone: expected a folder, found nothing", "iob2:{}/gone"),
    Bad("no argument", {}, "^expected iob2:DIR, found 'iob2'$", "iob2"),
    Bad("misspelt", {}, "unknown source 'iob': did you mean 'iob2'", "iob:{}"),
    Bad(
        "a language",
        FILES,
        "a language with ontonotes:DIR only",
        "iob2:{}",
        {"language": "english"},
    ),
    conll(
        "no columns", b"Ann\n", r"/eng\.train, line 1: expected a word, other columns and a tag, f"
    ),
    conll(
        "narrow row", IOB1 + b"Ann NNP I-PER\n", "line 12: expected 4 columns, as before, found 3"
    ),
    conll(
        "wide row", IOB1 + b"A B C D O\n", "line 12: expected 4 columns, as before, found 5 in 'A B"
    ),
    conll("not UTF-8", IOB1 + b"\xff X X O\n", "line 12: .*byte 0xff"),
    conll("marks only", b"-DOCSTART- -X- O O\n\n", "expected sentences, found none"),
    conll(
        "unknown", column("O", "X-PER"), "line 2: expected O, B-X, I-X, E-X or S-X, found 'X-PER'"
    ),
    conll("BMES", column("B-A", "M-A", "E-A"), "line 2: expected O, B-X, .*found 'M-A'"),
    conll(
        "neither IOB1 nor IOB2",
        column("I-A", "O", "B-A"),
        "line 3: expected tags in IOB1, as line 1 is not IOB2, found 'B-A' after 'O'",
    ),
    conll("no end", column("B-A", "I-A") + b"\n" + column("S-A"), "line 2: .*BIOES, found the end"),
    conll(
        "end of nothing", column("S-A", "E-A"), "line 2: expected tags in BIOES, found 'E-A' after"
    ),
    conll("B after B", column("B-A", "B-A", "E-A"), "line 2: .* found 'B-A' after 'B-A'"),
    Bad("no files", {}, r"expected one file \*\.train or train\.txt, found none", "conll:{}"),
    Bad("two", CONLL | {"train.txt": IOB1}, r"found eng\.train, train\.txt$", "conll:{}"),
    Bad("no dev", {"eng.train": IOB1, "eng.testb": IOB1}, r"\*\.testa or valid\.txt", "conll:{}"),
]


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.name)
def test_what_is_wrong_is_said_in_a_sentence(tmp_path, case):
    check_refused(sources.sentences, tmp_path, case)


SENTENCES = (
    sources.Sentence(("Ann", "Lee", "saw", "Rome"), ("B-PER", "I-PER", "O", "B-LOC"), ""),
    sources.Sentence(("Yes",), ("O",), ""),
)
ODD = {
    "as it should be": IOB2,
    "CRLF": IOB2.replace(b"\n", b"\r\n"),
    "CR": IOB2.replace(b"\n", b"\r"),
    "byte-order mark": b"\xef\xbb\xbf" + IOB2,
    "no end": IOB2.rstrip(),
    "many blank lines": b"\n\n" + IOB2.replace(b"\n\n", b"\n\n\n\n"),
}


@pytest.mark.parametrize("name", ODD)
def test_what_is_odd_is_read(tmp_path, name):
    write(tmp_path, FILES | {"train.iob2": ODD[name], "dev.genre": b"web\r\nmail"})
    corpus = sources.sentences(f"iob2:{tmp_path}")
    assert corpus.train == corpus.test == SENTENCES
    genres = zip(SENTENCES, ("web", "mail"), strict=True)
    assert corpus.dev == tuple(sentence._replace(genre=genre) for sentence, genre in genres)
    assert corpus.types == ("LOC", "PER")
    assert (corpus.synthetic, corpus.note) == (False, "")


def test_tokens_are_any_text(tmp_path):
    odd = ["#", "-DOCSTART-", "a b", "\u3000", "\u200b", "\x85", "O", '"', "e\u0301", "😀", "\x0c"]
    text = "".join(f"{token}\tB-a-b c\n" for token in odd)
    write(tmp_path, FILES | {"train.iob2": text.encode()})
    [sentence] = sources.sentences(f"iob2:{tmp_path}").train
    assert sentence.tokens == tuple(odd)
    assert sources.sentences(f"iob2:{tmp_path}").types == ("LOC", "PER", "a-b c")


CONLL_READ = (
    sources.Sentence(
        ("Ann", "Lee", "Bob", "saw", "Rome"), ("B-PER", "I-PER", "B-PER", "O", "B-LOC"), ""
    ),
    sources.Sentence(("Yes",), ("O",), ""),
)


def test_conll_in_any_scheme(tmp_path):
    iob2 = IOB1.replace(b"I-PER\nLee", b"B-PER\nLee").replace(b" I-LOC", b" B-LOC")
    bioes = iob2.replace(b"I-NP I-PER", b"I-NP E-PER").replace(b"I-NP B-LOC", b"I-NP S-LOC")
    bioes = bioes.replace(b"B-NP B-PER", b"B-NP S-PER")
    write(tmp_path, {"train.txt": IOB1, "valid.txt": iob2, "test.txt": bioes})
    corpus = sources.sentences(f"conll:{tmp_path}")
    assert corpus.train == corpus.dev == corpus.test == CONLL_READ
    assert corpus.note == "tags read as IOB1, IOB2, BIOES"


def test_conll_with_other_columns_and_spaces(tmp_path):
    rows = b"-DOCSTART- O\nAnn\t I-PER \nLee I-PER\nBob B-PER\r\n  saw O\nRome I-LOC\n \n\nYes  O"
    odd = "-DOCSTART-x a\u3000b \u3000 O\n".encode()
    write(tmp_path, {"deu.train": rows, "deu.testa": rows, "deu.testb": IOB1 + odd})
    corpus = sources.sentences(f"conll:{tmp_path}")
    assert corpus.train == corpus.dev == CONLL_READ
    assert corpus.test[1].tokens == ("Yes", "-DOCSTART-x")


def test_conll_without_names_in_one_part(tmp_path):
    write(tmp_path, CONLL | {"eng.testb": b"Yes UH X O\n"})
    corpus = sources.sentences(f"conll:{tmp_path}")
    assert corpus.test == CONLL_READ[1:]
    write(tmp_path, {"eng.train": b"Yes UH X O\n"})
    with pytest.raises(InputError, match="expected an entity in the training part, found O only"):
        sources.sentences(f"conll:{tmp_path}")


def test_many_sentences_in_many_blocks(tmp_path):
    """Sentences are whole wherever a reading happens to end."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 9, size=3_000)
    text = "\n".join(
        "".join(f"word{i}\tB-X\n" for i in range(length)) + "\n" * (length % 3)
        for length in lengths
    )
    for end in ("\n", "\r\n"):
        write(tmp_path, FILES | {"train.iob2": text.replace("\n", end).encode()})
        train = sources.sentences(f"iob2:{tmp_path}").train
        assert [len(sentence.tokens) for sentence in train] == lengths.tolist()


def test_a_refused_file_takes_little_memory(tmp_path):
    write(tmp_path, FILES | {"train.iob2": b"c" * 50_000_000})
    tracemalloc.start()
    with pytest.raises(InputError, match=r"line 1: .*longer than 1 MB"):
        sources.sentences(f"iob2:{tmp_path}")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\t\r\n\0"), min_size=1, max_size=5)
TAG = st.sampled_from(["O", "B-A", "I-A", "B-B c", "I-B c"])


ROWS = st.lists(st.lists(st.tuples(TEXT, TAG), min_size=1, max_size=8), min_size=1, max_size=6)


def legal(rows):
    """Sentences with tags in IOB2, what is not became O, and one entity at least."""
    sentences = [(["x"], ["B-A"])]
    for row in rows:
        tokens, tags = map(list, zip(*row, strict=True))
        while (wrong := first_illegal(tags, "iob2")) is not None:
            tags[wrong] = "O"
        sentences.append((tokens, tags))
    return sentences


def text_of(sentences, between):
    lines = ("".join(f"{w}{between}{t}\n" for w, t in zip(*s, strict=True)) for s in sentences)
    return "\n".join(lines)


def read_back(kind, names, text):
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            pathlib.Path(folder, name).write_bytes(text.encode())
        corpus = sources.sentences(f"{kind}:{folder}")
    assert corpus.train == corpus.dev == corpus.test
    return [(list(s.tokens), list(s.tags)) for s in corpus.train]


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(ROWS, st.sampled_from(["\n", "\r\n"]))
def test_any_sentences_come_back(rows, end):
    sentences = legal(rows)
    text = text_of(sentences, "\t").replace("\n", end)
    assert read_back("iob2", FILES, text) == sentences


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(ROWS, st.sampled_from([" ", "\t", " X  "]))
def test_any_columns_come_back_from_bioes(rows, between):
    space = re.compile("[ \x0b\x0c]|^-DOCSTART-$")
    sentences = [
        ([space.sub("_", token) for token in tokens], [tag.replace(" ", "") for tag in tags])
        for tokens, tags in legal(rows)
    ]
    bioes = [(tokens, iob2_to_bioes(tags)) for tokens, tags in sentences]
    assert read_back("conll", CONLL, text_of(bioes, between)) == sentences


@pytest.mark.parametrize("broken", ["train.iob2", "test.iob2", "train.genre"])
def test_broken_files_end_in_sentences_only(tmp_path, broken):
    files = FILES | {"train.genre": b"web\r\nmail\r\n"}
    check_mutations(lambda: sources.sentences(f"iob2:{tmp_path}"), tmp_path, files, broken)


def test_broken_columns_end_in_sentences_only(tmp_path):
    files = CONLL | {"eng.train": IOB1.replace(b" ", b"\t")}
    check_mutations(lambda: sources.sentences(f"conll:{tmp_path}"), tmp_path, files, "eng.train")


# Sentences, words, entities, of each part; types.
SIZES = {
    "uner_en_ewt": ((12543, 204579, 7005), (2001, 25149, 966), (2077, 25097, 1088), 3),
    "uner_zh_gsdsimp": ((3997, 98616, 6118), (500, 12663, 753), (500, 12012, 763), 3),
    "wnut17": ((3394, 62730, 1975), (1009, 15733, 836), (1287, 23394, 1079), 6),
}


@pytest.mark.parametrize("name", SIZES)
def test_real_sentences(real_data, name):
    corpus = sources.sentences(f"iob2:{real_data('ner', name)}")
    *sizes, types = SIZES[name]
    for part, expected in zip(corpus[:3], sizes, strict=True):
        words = sum(len(sentence.tokens) for sentence in part)
        entities = sum(tag[0] == "B" for sentence in part for tag in sentence.tags)
        assert (len(part), words, entities) == expected
    assert len(corpus.types) == types
    genres = {"answers", "email", "newsgroup", "reviews", "weblog"}
    assert {s.genre for s in corpus.train} == (genres if name == "uner_en_ewt" else {""})


def test_tfds_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(InputError, match=r"^tfds:x: .*pip install '\.\[experiments\]'$"):
        sources.sentences("tfds:x")
