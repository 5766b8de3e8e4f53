"""OntoNotes in CoNLL-2012's files: folders, brackets, documents."""

import pytest
from broken_files import Bad, check_mutations, check_refused, write

from trinity_jax.data import sources
from trinity_jax.types import InputError

ENGLISH = "data/english/annotations"
TRAIN = f"train/{ENGLISH}/bc/cctv/00/cctv_0000.v4_gold_conll"
DEV = f"development/{ENGLISH}/nw/wsj/00/wsj_0001.v4_gold_conll"
TEST = f"test/{ENGLISH}/wb/eng/00/eng_0000.v9_gold_conll"


def lines(document, *rows, arguments=0):
    """A sentence; a row is a word and what stands in the column of names."""
    for place, (word, cell) in enumerate(rows):
        columns = [document, 0, place, word, "NN", "(TOP*)", "-", "-", "-", "Speaker#1", cell]
        yield "   ".join(map(str, [*columns, *["*"] * arguments, "-"]))
    yield ""


def document(name, part, *sentences):
    rows = [f"#begin document ({name}); part {part:03}"]
    for number, sentence in enumerate(sentences):
        rows += lines(name, *sentence, arguments=number)
    return "\n".join([*rows, "#end document", ""]).encode()


LEE = [("Ann", "(PERSON*"), ("Lee", "*)"), ("of", "*"), ("U.N.", "(ORG)"), ("'s", "(CARDINAL*)")]
YES = [("Yes", "*")]
FILES = {
    TRAIN: document("bc/cctv/00/cctv_0000", 0, LEE, YES) + document("bc/cctv/00/cctv_0000", 1, YES),
    DEV: document("nw/wsj/00/wsj_0001", 0, YES),
    TEST: document("wb/eng/00/eng_0000", 0, LEE),
}


def lay_out(folder, files):
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    write(folder, files)


def check(folder, files, **arguments):
    lay_out(folder, files)
    return sources.sentences(f"ontonotes:{folder}", **arguments)


def sentence(genre, rows, tags):
    return sources.Sentence(tuple(word for word, _ in rows), tuple(tags.split()), genre)


READ = (
    sentence("bc", LEE, "B-PERSON I-PERSON O B-ORG B-CARDINAL"),
    sentence("bc", YES, "O"),
    sentence("bc", YES, "O"),
)


def test_folders_say_the_part_and_ids_the_genre(tmp_path):
    others = {
        "README": b"x",
        f"train/{ENGLISH}/bc/cctv/00/cctv_0000.v4_auto_conll": b"x",
        f"train/{ENGLISH}/bc/cctv/00/cctv_0000.v4_gold_skel": b"x",
    }
    corpus = check(tmp_path, FILES | others)
    assert corpus.train == READ
    assert corpus.dev == (sentence("nw", YES, "O"),)
    assert corpus.test == (READ[0]._replace(genre="wb"),)
    assert corpus.types == ("CARDINAL", "ORG", "PERSON")
    assert corpus.note == ""
    crlf = {name: b"\xef\xbb\xbf" + FILES[name].replace(b"\n", b"\r\n") for name in FILES}
    assert check(tmp_path, crlf) == corpus


def test_one_file_a_part_and_names_without_folders(tmp_path):
    names = ("train.english.v4_gold_conll", "english_dev_gold_conll", "conll-2012-test.gold_conll")
    corpus = check(tmp_path, dict(zip(names, FILES.values(), strict=True)))
    assert corpus.train == READ
    assert [len(part) for part in corpus[:3]] == [3, 1, 1]


def test_files_are_in_the_order_of_their_paths(tmp_path):
    more = {
        TRAIN.replace("0000.", f"000{n}."): document(f"bc/{n}", 0, [(str(n), "*")])
        for n in (5, 2, 3)
    }
    train = check(tmp_path, FILES | more).train
    assert [s.tokens[0] for s in train[3:]] == ["2", "3", "5"]


def test_languages_are_told_apart(tmp_path):
    chinese = {name.replace("english", "chinese"): text for name, text in FILES.items()}
    chinese = {
        name: text.replace(b"Yes", "是".encode()).replace(b"bc/cctv", b"mz/cctv")
        for name, text in chinese.items()
    }
    corpus = check(tmp_path, FILES | chinese, language="chinese")
    assert corpus.train[1] == sources.Sentence(("是",), ("O",), "mz")
    assert check(tmp_path, {}, language="english").train == READ
    with pytest.raises(InputError, match="one language or its name, found several: chinese, eng"):
        check(tmp_path, {})
    with pytest.raises(InputError, match="gold_conll in arabic, found chinese, english"):
        check(tmp_path, {}, language="arabic")


def test_the_new_testament_is_left_out(tmp_path):
    bible = {TRAIN.replace("bc/cctv", "pt/nt"): document("pt/nt/40/nt_4001", 0, YES, YES)}
    corpus = check(tmp_path, FILES | bible)
    assert corpus.train == READ
    assert corpus.note == "2 sentences of genre pt, which has no names tagged, left out"


def train(name, text, pattern):
    return Bad(name, {TRAIN: text}, rf"/cctv_0000\.v4_gold_conll{pattern}", "ontonotes:{}")


def cells(name, *column, line, pattern):
    rows = [("w", cell) for cell in column]
    return train(name, document("bc/x", 0, rows, YES), f", line {line}: {pattern}")


BAD = [
    train("empty", b"", ": expected sentences, found none"),
    train(
        "marks only", b"#begin document (bc/x); part 000\n#end document\n", ": expected sentences"
    ),
    train("other files", b"Ann B-PER\n", ", line 1: expected at least 12 columns, found 2 in 'Ann"),
    train("no coreference", b"bc 0 0 w NN * - - - s *\n", ", line 1: .*columns, found 11 in"),
    train("not UTF-8", FILES[TRAIN] + b"\xff\n", ", line 15: .*byte 0xff"),
    train("twice in a file", FILES[TRAIN] * 2, ", line 15: expected each document once, found"),
    Bad(
        "twice", {TRAIN: FILES[DEV]}, "each document once, found .*wsj_0001.* again", "ontonotes:{}"
    ),
    cells("not closed", "(A*", "*", line=3, pattern="expected a closing bracket for 'A'"),
    cells("not opened", "*", "*)", line=3, pattern=r"expected \*, \(TYPE\*, .*found '\*\)'"),
    cells("within another", "(A*", "(B)", line=3, pattern=r".*found '\(B\)' within 'A'"),
    cells("no star", "(A", line=2, pattern=r".*found '\(A'"),
    cells("star twice", "**", line=2, pattern=r".*found '\*\*'"),
    cells("bracket only", ")", line=2, pattern=r".*found '\)'"),
    cells("no type", "(*)", line=2, pattern=r".*found '\(\*\)'"),
    cells("IOB", "B-A", line=2, pattern=".*found 'B-A'"),
    cells("dash", "-", line=2, pattern=".*found '-'"),
    Bad("no part", {"english/a.gold_conll": FILES[DEV]}, "one of train, dev", "ontonotes:{}"),
    Bad(
        "two parts", {"train-dev/a.gold_conll": FILES[DEV]}, "found none or several", "ontonotes:{}"
    ),
    Bad("no folder", {}, "/gone: expected a folder, found nothing", "ontonotes:{}/gone"),
    Bad("odd name", {"train/\n_gold_conll": b""}, "expected printable names", "ontonotes:{}"),
]


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.name)
def test_what_is_wrong_is_said_in_a_sentence(tmp_path, case):
    files = FILES | case.files
    lay_out(tmp_path, files)
    check_refused(sources.sentences, tmp_path, case)


@pytest.mark.parametrize("missing", [TRAIN, DEV, TEST])
def test_parts_that_are_missing(tmp_path, missing):
    files = {name: text for name, text in FILES.items() if name != missing}
    part = {TRAIN: "train", DEV: "dev", TEST: "test"}[missing]
    with pytest.raises(InputError, match=f"gold_conll in a folder of the {part} part, found none"):
        check(tmp_path, files)


def test_nothing_there(tmp_path):
    with pytest.raises(InputError, match=r"expected files \*gold_conll, found none$"):
        check(tmp_path, {})


def test_broken_files_end_in_sentences_only(tmp_path):
    names = ("train_gold_conll", "dev_gold_conll", "test_gold_conll")
    files = dict(zip(names, FILES.values(), strict=True))
    files[names[0]] = b"\n".join(lines.strip() for lines in FILES[TRAIN].split(b"\n"))
    read = lambda: sources.sentences(f"ontonotes:{tmp_path}")
    check_mutations(read, tmp_path, files, names[0])
