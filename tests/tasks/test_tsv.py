"""Files of rows: what is read is what was written, and every problem is told before anything is used."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import QUADRANTS, UserError, get_task
from tasks.tsv import Line, read_table, write_table

HEADER = "sentence\tsection\tlabel"
ROWS = ["a dog\tboth\t1", "a cat\tneither\t0", "a cow\tweak\t0", "a fox\tstrong\t1"]


def write(folder, *lines, end="\n"):
    path = folder / "rows.tsv"
    path.write_bytes((end.join(lines) + end).encode())
    return path


def refused(path):
    with pytest.raises(UserError) as error:
        read_table(path)
    told = str(error.value)
    assert told.startswith(f"{path}: ")
    assert "\n" not in told
    return told.removeprefix(f"{path}: ")


FIELD = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\t\n\r\0"), min_size=1).filter(
    lambda text: text == text.strip()
)


@given(st.lists(st.tuples(FIELD, FIELD), min_size=4, max_size=12, unique_by=lambda pair: pair[0]))
def test_what_is_written_is_read(tmp_path_factory, pairs):
    rows = [Line(text, QUADRANTS[i % 4], source) for i, (text, source) in enumerate(pairs)]
    path = tmp_path_factory.mktemp("round") / "rows.tsv"
    write_table(path, rows)
    assert read_table(path).rows == tuple(rows)


@pytest.mark.parametrize("text", ["a\tb", "a\nb", "a\rb", "a\0b"])
def test_what_would_break_a_line_is_not_written(tmp_path, text):
    with pytest.raises(UserError, match="cannot be written"):
        write_table(tmp_path / "rows.tsv", [Line(text, "both", "s")])
    assert not (tmp_path / "rows.tsv").exists()


def test_names_of_the_literature_are_ours(tmp_path):
    rows = read_table(write(tmp_path, HEADER, *ROWS)).rows
    assert [row.quadrant for row in rows] == ["both", "neither", "spurious_only", "target_only"]
    assert [row.source for row in rows] == [row.sentence for row in rows]


def test_windows_line_ends_a_mark_quotes_and_order_of_columns_make_no_difference(tmp_path):
    plain = read_table(write(tmp_path, HEADER, *ROWS)).rows
    assert read_table(write(tmp_path, HEADER, *ROWS, end="\r\n")).rows == plain
    assert read_table(write(tmp_path, "\ufeff" + HEADER, *ROWS)).rows == plain
    quoted = ["\t".join(f'"{cell}"' for cell in row.split("\t")) for row in (HEADER, *ROWS)]
    assert read_table(write(tmp_path, *quoted)).rows == plain
    turned = ["\t".join(["7", *row.split("\t")[::-1]]) for row in ROWS]
    table = read_table(write(tmp_path, "\tlabel\tsection\tsentence", *turned))
    assert (table.rows, table.unused) == (plain, ("",))


def test_lines_that_a_carriage_return_ends_are_told_and_not_shown(tmp_path):
    told = refused(write(tmp_path, HEADER, *ROWS * 1000, end="\r"))
    assert told == "lines end in a carriage return alone; save it with Unix or Windows line ends"


@pytest.mark.parametrize("text", ['he said "no"', '"yes" and "no"', '"', '""', 'say ""'])
def test_quotes_that_are_letters(tmp_path, text):
    rows = [Line(text, "both", "s"), *(Line(q, q, "s") for q in QUADRANTS)]
    write_table(tmp_path / "rows.tsv", rows)
    assert read_table(tmp_path / "rows.tsv").rows[0].sentence == text


WRONG = [
    ("x\tweka\t0", "unknown section", "6 'weka', did you mean 'weak'?"),
    ("x\tBoth\t1", "unknown section", "6 'Both', did you mean 'both'?"),
    ("x\tboth\tyes", "label that is not 0 or 1", "6 'yes'"),
    ("x\tweak\t1", "label that disagrees with its section", "6 weak with label 1"),
    ("\tweak\t0", "empty sentence", "6"),
    ("   \tweak\t0", "empty sentence", "6"),
    ("a dog\tboth\t1", "duplicated row", "6 repeats 2"),
    ("a dog\tweak\t0", "sentence with two labels", "6 says 0, line 2 says 1"),
    ("a dog\tstrong\t1", "sentence with two sections", "6 says strong, line 2 another"),
    ("x\tboth", "wrong number of fields", "6 has 2, not 3"),
    ("x\tboth\t1\t1", "wrong number of fields", "6 has 4, not 3"),
    ("x\ry\tboth\t1", "carriage return or NUL within", "6"),
    ("x\0y\tboth\t1", "carriage return or NUL within", "6"),
]


@pytest.mark.parametrize(("line", "kind", "what"), WRONG)
def test_each_mistake_is_told_with_its_line(tmp_path, line, kind, what):
    told = refused(write(tmp_path, HEADER, *ROWS, line))
    assert told == f"1 row cannot be used: 1 {kind} (line {what})"


def test_all_mistakes_of_all_rows_are_told_at_once(tmp_path):
    told = refused(write(tmp_path, HEADER, *ROWS, *(line for line, *_ in WRONG), *["x y\tweka\t0"] * 7))
    assert told.startswith(f"{len(WRONG) + 7} rows cannot be used: ")
    for kind in {kind for _, kind, _ in WRONG}:
        assert kind in told
    sections = re.search(r"9 unknown section \(lines (.*?), \.\.\.\)", told)
    assert sections
    assert re.findall(r"\b\d+\b", sections[1]) == ["6", "7", *(str(6 + len(WRONG) + i) for i in range(3))]


def test_an_empty_source_is_told(tmp_path):
    told = refused(write(tmp_path, HEADER + "\tsource", *(f"{row}\ts" for row in ROWS), "x\tboth\t1\t"))
    assert told == "1 row cannot be used: 1 empty source (line 6)"


def test_bytes_that_are_no_text_are_told(tmp_path):
    path = write(tmp_path, HEADER, *ROWS)
    path.write_bytes(path.read_bytes() + b"caf\xe9\tboth\t1\n")
    assert refused(path) == "1 row cannot be used: 1 not UTF-8 (line 6 byte 4)"
    path.write_bytes("\n".join([HEADER, *ROWS]).encode("utf-16"))
    assert refused(path) == "this is UTF-16; save it as UTF-8"
    path.write_bytes("\n".join([HEADER, *ROWS]).encode("utf-16-le"))
    assert refused(path) == "the header holds NUL bytes, as UTF-16 does; save it as UTF-8 text"
    path.write_bytes(b"caf\xe9\t" + "\n".join([HEADER, *ROWS]).encode())
    assert refused(path) == "line 1, the header, is not UTF-8"


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("sentence\tsection", "no column label in line 1, the header; it has sentence, section"),
        ("text\tsection", "no column sentence or label in line 1, the header; it has text, section"),
        ("sentence,section,label", "are the columns separated by tabs?"),
        (HEADER + "\tlabel", "2 columns are named label"),
        (ROWS[0], "a row stands where the names sentence, section, label belong"),
        (
            "Sentence\tsection\tLABEL",
            "no column sentence or label in line 1, the header; write the names in lower",
        ),
    ],
)
def test_a_wrong_header_is_told(tmp_path, header, told):
    assert told in refused(write(tmp_path, header, *ROWS))


def test_what_is_no_file_of_rows_is_told(tmp_path):
    assert refused(tmp_path) == "a folder, not a file of rows"
    assert refused(tmp_path / "absent.tsv") == "no such file"
    for content in ("", "\n", "\ufeff", "\r\n\r\n"):
        path = write(tmp_path, content, end="")
        assert refused(path).startswith("the file is empty")
    assert refused(write(tmp_path, HEADER)).startswith("no row of both or neither or target_only")


@pytest.mark.parametrize("left_out", range(4))
def test_a_quadrant_of_agreement_is_needed_and_one_of_conflict_may_be_missing(tmp_path, left_out):
    path = write(tmp_path, HEADER, *(row for i, row in enumerate(ROWS) if i != left_out))
    name = ("both", "neither", "spurious_only", "target_only")[left_out]
    if left_out < 2:
        assert refused(path) == f"no row of {name}"
    else:
        assert get_task(f"tsv:{path}").missing == (name,)


def test_no_row_of_conflict_at_all_is_told(tmp_path):
    told = refused(write(tmp_path, HEADER, *ROWS[:2]))
    assert told == "no row of target_only (strong) or spurious_only (weak)"
