"""What can be wrong with a row, what is odd but right, and what is wrong with a whole file."""

import io
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from delivery import datasets
from delivery.datasets import MAX_ROW_BYTES, ORDER_ITEMS, ORDERS, PRODUCTS, Dataset

Values = Mapping[str, str]

_TOO_LONG: Final = MAX_ROW_BYTES + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A row to be quarantined: a good row with other values, or with its bytes spoilt.

    ``once``: added a single time. ``last``: only possible as the last record of a file.
    """

    dataset: Dataset
    reasons: tuple[str, ...]
    detail: str
    values: Values = field(default_factory=dict)
    spoil: Callable[[bytes], bytes] | None = None
    once: bool = False
    last: bool = False


def _missing(dataset: Dataset) -> list[Fault]:
    return [
        Fault(
            dataset=dataset,
            reasons=(column.missing,),
            detail=f"{column.name} is {'blank' if blank else 'empty'}",
            values={column.name: blank},
        )
        for column in dataset.columns
        if column.required
        for blank in ("", "   ")
    ]


def _values(dataset: Dataset, reason: str, column: str, *texts: str) -> list[Fault]:
    return [
        Fault(
            dataset=dataset,
            reasons=(reason,),
            detail=f"{column} is {text!r}",
            values={column: text},
        )
        for text in texts
    ]


def _structural(dataset: Dataset) -> list[Fault]:
    def fault(
        reason: str,
        detail: str,
        spoil: Callable[[bytes], bytes],
        *,
        once: bool = False,
        last: bool = False,
    ) -> Fault:
        return Fault(
            dataset=dataset, reasons=(reason,), detail=detail, spoil=spoil, once=once, last=last
        )

    return [
        fault(datasets.WRONG_FIELD_COUNT, "the last field is not there", _without_last_field),
        fault(datasets.WRONG_FIELD_COUNT, "a field too many", lambda row: row + b",surplus"),
        fault(datasets.MALFORMED_QUOTING, "text after a closing quote", _stray_quote),
        fault(
            datasets.MALFORMED_QUOTING,
            "a quote that never closes, in the file's last record",
            lambda row: b'"' + row,
            once=True,
            last=True,
        ),
        fault(
            datasets.INVALID_ENCODING,
            "a byte of Latin-1",
            # Every added row has a 9, inside quotes where its fields are quoted.
            lambda row: row.replace(b"9", b"\xe9", 1),
        ),
    ]


def _without_last_field(row: bytes) -> bytes:
    return row.rsplit(b",", 1)[0]


def _stray_quote(row: bytes) -> bytes:
    return b'"ab"c,' + row.split(b",", 1)[1]


def _several(dataset: Dataset, reasons: tuple[str, ...], **values: str) -> Fault:
    detail = ", ".join(f"{column} is {text!r}" for column, text in values.items())
    return Fault(dataset=dataset, reasons=tuple(sorted(reasons)), detail=detail, values=values)


def _malformed(dataset: Dataset, column: str, letter: str) -> list[Fault]:
    reason = f"malformed_{column}"
    return _values(dataset, reason, column, f"{letter}9\t17", f"{letter}9\v17", letter + "9" * 64)


def _too_long(dataset: Dataset, column: str) -> Fault:
    return Fault(
        dataset=dataset,
        reasons=(datasets.ROW_TOO_LONG,),
        detail=f"{column} has {_TOO_LONG:,} characters",
        values={column: "x" * _TOO_LONG},
        once=True,
    )


FAULTS: Final = (
    *_missing(ORDERS),
    *_values(ORDERS, "bad_order_date", "order_date", "not-a-date", "2025-02-30"),
    *_values(ORDERS, "bad_total_amount", "total_amount", "abc", "NaN", "1234567890123456789.00"),
    *_structural(ORDERS),
    _too_long(ORDERS, "user_id"),
    *_values(ORDERS, "total_amount_out_of_range", "total_amount", "-5.00"),
    *_values(ORDERS, "order_date_out_of_range", "order_date", "1999-12-31", "2199-01-01"),
    *_values(ORDERS, "unknown_status", "status", "lost"),
    *_malformed(ORDERS, "order_id", "O"),
    _several(
        ORDERS, ("bad_order_date", "bad_total_amount"), order_date="soon", total_amount="much"
    ),
    _several(
        ORDERS,
        ("total_amount_out_of_range", "unknown_status"),
        total_amount="-0.01",
        status="teleported",
    ),
    _several(ORDERS, ("missing_order_id", "unknown_status"), order_id="", status="lost"),
    *_missing(ORDER_ITEMS),
    *_values(ORDER_ITEMS, "bad_quantity", "quantity", "2.5", "two"),
    *_values(ORDER_ITEMS, "bad_unit_price", "unit_price", "abc", "9.99 EUR"),
    *_structural(ORDER_ITEMS),
    _too_long(ORDER_ITEMS, "product_id"),
    *_values(ORDER_ITEMS, "quantity_out_of_range", "quantity", "0", "-1", "1000001"),
    *_values(ORDER_ITEMS, "unit_price_out_of_range", "unit_price", "-0.01", "10000000.01"),
    *_malformed(ORDER_ITEMS, "order_id", "O"),
    *_malformed(ORDER_ITEMS, "product_id", "P"),
    _several(
        ORDER_ITEMS,
        ("quantity_out_of_range", "unit_price_out_of_range"),
        quantity="-3",
        unit_price="-9.99",
    ),
    _several(
        ORDER_ITEMS, ("bad_unit_price", "quantity_out_of_range"), quantity="0", unit_price="free"
    ),
    *_missing(PRODUCTS),
    *_values(PRODUCTS, "bad_price", "price", "abc"),
    *_structural(PRODUCTS),
    *_values(PRODUCTS, "price_out_of_range", "price", "-1.00"),
    *_malformed(PRODUCTS, "product_id", "P"),
    _several(PRODUCTS, ("bad_price", "missing_category"), category="", price="n/a"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Oddity:
    """Another spelling of a good row, with the same meaning."""

    dataset: Dataset
    name: str
    applies: Callable[[Values], bool]
    change: Callable[[Values], Values] = dict
    quoted: bool = False


def _always(_values: Values) -> bool:
    return True


ODDITIES: Final = (
    Oddity(
        dataset=ORDERS,
        name="upper_case_status",
        applies=_always,
        change=lambda row: {**row, "status": row["status"].upper()},
    ),
    Oddity(
        dataset=ORDERS,
        name="padded_status",
        applies=_always,
        change=lambda row: {**row, "status": f"  {row['status'].title()} "},
    ),
    Oddity(
        dataset=ORDERS,
        name="canceled",
        applies=lambda row: row["status"] == "cancelled",
        change=lambda row: {**row, "status": "canceled"},
    ),
    Oddity(
        dataset=ORDERS,
        name="timestamp",
        applies=_always,
        change=lambda row: {**row, "order_date": f"{row['order_date']} 23:59:59"},
    ),
    Oddity(
        dataset=ORDERS,
        name="iso_timestamp",
        applies=_always,
        change=lambda row: {**row, "order_date": f"{row['order_date']}T00:00:01.250"},
    ),
    Oddity(
        dataset=ORDERS,
        name="short_decimals",
        applies=lambda row: row["total_amount"].endswith("0"),
        change=lambda row: {**row, "total_amount": row["total_amount"][:-1]},
    ),
    Oddity(dataset=ORDERS, name="quoted_fields", applies=_always, quoted=True),
    Oddity(
        dataset=ORDER_ITEMS,
        name="short_decimals",
        applies=lambda row: row["unit_price"].endswith("0"),
        change=lambda row: {**row, "unit_price": row["unit_price"][:-1]},
    ),
    Oddity(
        dataset=ORDER_ITEMS,
        name="trailing_zeros",
        applies=_always,
        change=lambda row: {**row, "unit_price": f"{row['unit_price']}00"},
    ),
    Oddity(dataset=ORDER_ITEMS, name="quoted_fields", applies=_always, quoted=True),
    Oddity(
        dataset=PRODUCTS,
        name="embedded_newline",
        applies=_always,
        change=lambda row: {**row, "name": row["name"].replace(" ", "\n", 1)},
    ),
    Oddity(
        dataset=PRODUCTS,
        name="empty_name",
        applies=_always,
        change=lambda row: {**row, "name": ""},
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How a whole file is written; it must be read like the plain one."""

    oddities: tuple[str, ...] = ()
    line_end: str = "\n"
    byte_order_mark: bool = False
    separator: str = ","
    quoted: bool = False
    swapped: bool = False
    extra: tuple[str, ...] = ()
    final_newline: bool = True


PLAIN: Final = Dialect()
# By part; later parts are plain. Part 1 is plain too: it ends in a quote that never closes.
DIALECTS: Final = {
    ORDERS.name: (
        PLAIN,
        Dialect(oddities=("crlf",), line_end="\r\n"),
        Dialect(oddities=("byte_order_mark",), byte_order_mark=True),
        Dialect(
            oddities=("extra_columns", "swapped_columns"), swapped=True, extra=("channel", "note")
        ),
        Dialect(oddities=("spaces_after_commas",), separator=", "),
    ),
    ORDER_ITEMS.name: (
        PLAIN,
        Dialect(oddities=("byte_order_mark", "crlf"), line_end="\r\n", byte_order_mark=True),
        Dialect(oddities=("quoted_fields",), quoted=True),
        Dialect(oddities=("extra_columns", "swapped_columns"), swapped=True, extra=("note",)),
        Dialect(
            oddities=("no_final_newline", "spaces_after_commas"),
            separator=", ",
            final_newline=False,
        ),
    ),
    PRODUCTS.name: (PLAIN,),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeFile:
    """A file that is added as it is: rejected as a whole, or without rows."""

    name: str
    content: bytes
    outcome: str
    reason: str
    detail: str


def _file(dataset: Dataset, *rows: str, header: str | None = None) -> str:
    first = ",".join(dataset.column_names) if header is None else header
    return "".join(f"{line}\n" for line in (first, *rows))


_ORDERS: Final = [f"O980000{i:02},U10001,2025-03-01,9.99,delivered" for i in range(40)]
_ITEMS: Final = [f"O980000{i:02},P1001,1,9.99" for i in range(40)]
# A good row of orders_too_many_bad_rows.csv, which is rejected with its file.
ORDER_IN_A_REJECTED_FILE: Final = "O98000039"


def _zipped(text: str) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as target:
        target.writestr(zipfile.ZipInfo("products.csv", (2025, 3, 1, 0, 0, 0)), text)
    return archive.getvalue()


def _rejected(name: str, content: str | bytes, reason: str, detail: str) -> WholeFile:
    return WholeFile(
        name=name,
        content=content if isinstance(content, bytes) else content.encode(),
        outcome="file_rejected",
        reason=reason,
        detail=detail,
    )


TOO_MANY_BAD_ROWS: Final = _rejected(
    "orders_too_many_bad_rows.csv",
    _file(ORDERS, *(row.replace("9.99", "abc") for row in _ORDERS[:10]), *_ORDERS[10:]),
    "too_many_bad_rows",
    "10 of 40 rows cannot be read",
)
WHOLE_FILES: Final = (
    _rejected(
        "orders_missing_column.csv",
        _file(
            ORDERS,
            *(row.replace(",9.99", "") for row in _ORDERS),
            header="order_id,user_id,order_date,status",
        ),
        datasets.MISSING_COLUMN,
        "no column total_amount",
    ),
    _rejected(
        "order_items_without_header.csv",
        "".join(f"{row}\n" for row in _ITEMS),
        datasets.MISSING_COLUMN,
        "the header is missing",
    ),
    _rejected(
        "order_items_semicolons.csv",
        _file(ORDER_ITEMS, *_ITEMS).replace(",", ";"),
        datasets.MISSING_COLUMN,
        "semicolons instead of commas",
    ),
    _rejected(
        "order_items_column_twice.csv",
        _file(
            ORDER_ITEMS,
            *(f"{row},1" for row in _ITEMS),
            header="order_id,product_id,quantity,unit_price,quantity",
        ),
        datasets.DUPLICATE_COLUMN,
        "quantity is twice in the header",
    ),
    _rejected("orders_empty.csv", "", datasets.EMPTY_FILE, "no byte in it"),
    _rejected(
        "orders_utf16.csv",
        b"\xff\xfe" + _file(ORDERS, *_ORDERS).encode("utf-16-le"),
        datasets.NOT_UTF8,
        "UTF-16",
    ),
    _rejected(
        "order_items_picture.csv",
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(range(256)) * 4,
        datasets.NOT_CSV,
        "a picture",
    ),
    _rejected(
        "order_items_nul_bytes.csv",
        _file(ORDER_ITEMS, *_ITEMS).replace("9.99", "9\0.99"),
        datasets.NOT_CSV,
        "NUL bytes between the digits",
    ),
    _rejected(
        "products_zipped.csv",
        _zipped(_file(PRODUCTS, "P9801,Garden,Rake,9.99")),
        datasets.NOT_CSV,
        "a zip archive with a .csv name",
    ),
    WholeFile(
        name="orders_header_only.csv",
        content=_file(ORDERS).encode(),
        outcome="tolerated",
        reason="header_only",
        detail="a header and no row",
    ),
)
