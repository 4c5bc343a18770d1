"""DuckDB and the csv module read every file alike: the same rows, values and faults."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from contract.keys import DatasetName
from delivery import file_checks, reader
from delivery.file_checks import FileShape
from delivery.landed_files import LandedFile
from delivery.words import WHITE_SPACE

HEADER = "order_id,product_id,quantity,unit_price"
GOOD = "1,A,2,3.50"
CELLS = st.one_of(
    st.sampled_from(["1", "A", "2", "3.50", "", "NULL", "-", "n/a", "4.5E+15", '"', '""', '"a"']),
    st.sampled_from(
        ['"a,b"', '" a "', '"a" ', ' "a"', '\t"a"', '"a"\t', '"a" "b"', 'a"b', '"a""b"']
    ),
    st.sampled_from(
        ['"a\nb"', '"a\r\nb"', "\r", "\x07", "x" * 1025, "é", "\ud800", "\u200b", "a b"]
    ),
    st.tuples(
        st.sampled_from([*WHITE_SPACE.replace("\n", "").replace("\r", ""), ""]),
        st.sampled_from(["1", "A", "2", "3.50"]),
        st.sampled_from([*WHITE_SPACE.replace("\n", "").replace("\r", ""), ""]),
    ).map("".join),
)
ROWS = st.one_of(
    st.just(GOOD),
    st.lists(CELLS, min_size=4, max_size=4).map(",".join),
    st.lists(CELLS, min_size=3, max_size=7).map(",".join),
    st.sampled_from(["", " ", ",", ",,,", ", ,\u00a0,"]),
    st.sampled_from([f"{GOOD},", f"{GOOD},,", f'{GOOD},""', f"{GOOD}, "]),
    st.text('a1",\r \t', max_size=20),
)  # fmt: skip
HEADERS = st.sampled_from(
    [HEADER, f"{HEADER},", f"{HEADER},note", f"{HEADER},note,note", f"note,{HEADER}", f"\n{HEADER}"]
)


@st.composite
def files(draw: st.DrawFn) -> bytes:
    end = draw(st.sampled_from(["\n", "\n", "\n", "\r\n", "\r"]))
    rows = draw(st.lists(ROWS, max_size=6))
    if draw(st.booleans()):  # a field more, or the same text, on every row
        rows = [row + draw(st.sampled_from([",", ",x", ', "y" ', ""])) for row in rows]
    text = end.join([draw(HEADERS), *rows]) + draw(st.sampled_from([end, ""]))
    return draw(st.sampled_from([b"", b"\xef\xbb\xbf"])) + text.encode(errors="surrogatepass")


def contents(data: bytes, *, in_csv_module: bool) -> tuple[object, ...]:
    def irregular(path: Path) -> object:
        shape = file_checks.check_bytes(path)
        return replace(shape, irregular=True) if isinstance(shape, FileShape) else shape

    dataset: DatasetName = "order_items"
    with (
        TemporaryDirectory() as folder,
        duckdb.connect() as db,
        pytest.MonkeyPatch.context() as patch,
    ):
        path = Path(folder, "order_items.csv")
        path.write_bytes(data)
        if in_csv_module:
            patch.setattr(reader, "check_bytes", irregular)
        [reading] = reader.read([LandedFile(name=path.name, path=path, dataset=dataset)], db)
        rows = db.execute("FROM order_items ORDER BY _line").fetchall()
        bad = db.execute("FROM unreadable_rows ORDER BY _line").fetchall()
    return reading.status, reading.reason, reading.rows, rows, bad


@settings(max_examples=150, deadline=None)
@given(files())
@example(f"{HEADER}\n{GOOD},,\n{GOOD}\n".encode())
@example(f'{HEADER}\n1,"A" ,2,3\n1,"A" "B",2,3\n'.encode())
@example(f'{HEADER}\n"1,1",A,2,3,\n{GOOD}\n'.encode())
def test_both_passes_read_the_same(data: bytes) -> None:
    assert contents(data, in_csv_module=False) == contents(data, in_csv_module=True)
