"""Files of real shops, as small as they show what they are about, and what is right for each."""

import gzip
from collections.abc import Mapping
from dataclasses import dataclass, field

ORDERS = "order_id,user_id,order_date,total_amount,status"
ITEMS = "order_id,product_id,quantity,unit_price"
PRODUCTS = "product_id,category,name,price\nP1,Kitchen,Pan,10.00\nP2,Garden,Hose,20.00\n"

# File, line and reasons of a row that is set aside.
Rejected = tuple[str, int, str]
# File, reason, number of rows, and a part of what is said about them.
Warned = tuple[str, str, int, str]


@dataclass(frozen=True, kw_only=True)
class Case:
    """Files by name; the day's KPIs, the revenue by category, and the rows that are left out.

    ``warned`` are the columns whose amounts can be read in two ways; ``details`` is, by file and
    reason, a part of what is said about rows that are left out.
    """

    files: Mapping[str, bytes]
    orders: int
    revenue: str
    customers: int
    returned: int = 0
    categories: Mapping[str, str] = field(default_factory=dict)
    rejected: frozenset[Rejected] = frozenset()
    warned: tuple[Warned, ...] = ()
    details: Mapping[tuple[str, str], str] = field(default_factory=dict)


def order(number: object, amount: str = "10.00", status: str = "delivered") -> str:
    return f"{number},U{number},2025-03-04,{amount},{status}"


def line(number: object, product: str = "P1", price: str = "10.00") -> str:
    return f"{number},{product},1,{price}"


def table(header: str, *rows: str) -> bytes:
    return "\n".join([header, *rows, ""]).encode()


def shop(
    orders: bytes, items: bytes, products: str = PRODUCTS, **more: bytes
) -> Mapping[str, bytes]:
    return {
        "orders_1.csv": orders,
        "order_items_1.csv": items,
        "products.csv": products.encode(),
        **more,
    }


_TEN = [order(f"O{n}") for n in range(1, 11)]
_TEN_LINES = [line(f"O{n}") for n in range(1, 11)]
_GOOD = {"orders": 10, "revenue": "100.00", "customers": 10, "categories": {"Kitchen": "100.00"}}

CASES: Mapping[str, Case] = {
    "a file with brackets in its name is read, and no other in its place": Case(
        files={
            **shop(table(ORDERS, order(1)), table(ITEMS, line(1), line(2, price="50.00"))),
            "orders_[1].csv": table(ORDERS, order(2, "50.00")),
        },
        orders=2, revenue="60.00", customers=2, categories={"Kitchen": "60.00"},
    ),
    "a surplus empty field on some rows is a shifted row": Case(
        files=shop(
            table(ORDERS + ",note", *[f"{row}," for row in _TEN]),
            table(ITEMS + ",note", *[f"{row}," for row in _TEN_LINES], "O1,P2,1,19,99,"),
        ),
        rejected=frozenset({("order_items_1.csv", 12, "wrong_field_count")}), **_GOOD,
    ),
    "a surplus empty field on every row is read": Case(
        files=shop(
            table(ORDERS, *[f"{row}," for row in _TEN]),
            table(ITEMS, *[f"{row}, " for row in _TEN_LINES]),
        ), **_GOOD,
    ),
    "ids that a spreadsheet has shortened are set aside": Case(
        files=shop(
            table(ORDERS, order("4.50603E+15"), order("4.50603E+15"), *_TEN),
            table(ITEMS, line("4.50603E+15"), *_TEN_LINES),
        ),
        rejected=frozenset({
            ("orders_1.csv", 2, "mangled_order_id"), ("orders_1.csv", 3, "mangled_order_id"),
            ("order_items_1.csv", 2, "mangled_order_id"),
        }), **_GOOD,
    ),
    "words for nothing are missing values": Case(
        files=shop(
            table(
                ORDERS,
                *[f"O{n},{word},2025-03-04,10.00,shipped" for n, word in enumerate(
                    ("NULL", "null", "None", "nan", "NaN", "N/A", "NA", "#N/A", "\\N", "-", ""), 1
                )],
                "O12,U12,2025-03-04,10.00,shipped",
                "NULL,U13,2025-03-04,10.00,shipped",
            ),
            table(ITEMS, line("O1"), line("N/A"), line("O2", "None")),
            PRODUCTS + "P3,nan,Thing,1\n",
        ),
        orders=12, revenue="120.00", customers=1, categories={"Kitchen": "10.00"},
        rejected=frozenset({
            ("orders_1.csv", 14, "missing_order_id"), ("order_items_1.csv", 3, "missing_order_id"),
            ("order_items_1.csv", 4, "missing_product_id"), ("products.csv", 4, "missing_category"),
        }),
    ),
    "rows of commas and blank lines are no rows": Case(
        files=shop(
            table(",,,,", "", ORDERS, *_TEN, ",,,,", " ,\t,,,\u00a0"),
            table(ITEMS, *_TEN_LINES, ",,,"),
            "\n\n" + PRODUCTS,
        ), **_GOOD,
    ),
    "one bad row of a small file is set aside alone": Case(
        files=shop(table(ORDERS, *_TEN, order("O11", "$10.00")), table(ITEMS, *_TEN_LINES)),
        rejected=frozenset({("orders_1.csv", 12, "bad_total_amount")}), **_GOOD,
    ),
    "a credit note is no order": Case(
        files=shop(
            table(ORDERS, *_TEN, order("R1", "-10.00", "refunded")),
            table(ITEMS, *_TEN_LINES, "O1,P1,-1,10.00", "O1,P1,1,-10.00"),
        ),
        rejected=frozenset({
            ("orders_1.csv", 12, "total_amount_out_of_range"),
            ("order_items_1.csv", 12, "quantity_out_of_range"),
            ("order_items_1.csv", 13, "unit_price_out_of_range"),
        }), **_GOOD,
    ),
    "the shops' words for a status are understood": Case(
        files=shop(
            table(
                ORDERS, order("O1", status="Complete"), order("O2", status="wc-on-hold"),
                order("O3", status="Canceled"), order("O4", status=" RETURNED "),
                order("O5", status="partially_refunded"), order("O6", status="teleported"),
                order("O7", status="N/A"),
            ),
            table(ITEMS, line("O1"), line("O4")),
        ),
        orders=5, revenue="50.00", customers=5, returned=1, categories={"Kitchen": "20.00"},
        rejected=frozenset(
            {("orders_1.csv", 7, "unknown_status"), ("orders_1.csv", 8, "missing_status")}
        ),
        details={
            ("orders_1.csv", "unknown_status"): "'teleported' (1); accepted are completed,"
            " returned, cancelled, other and the shops' words in docs/values.md; add yours to"
            ' mapping.toml under [statuses]: "teleported" = "completed"'
        },
    ),
    "points that may separate thousands are reported": Case(
        files=shop(
            table(
                ORDERS, *[order(f"O{n}", "150.000") for n in range(1, 10)],
                order("O10", "1.250.000"), order("O11", "10"), order("O12", "10.50"),
            ),
            table(ITEMS, *[line(f"O{n}", price="2.500") for n in range(1, 5)]),
        ),
        orders=11, revenue="1370.50", customers=11, categories={"Kitchen": "10.00"},
        rejected=frozenset({("orders_1.csv", 11, "bad_total_amount")}),
        warned=(
            ("order_items_1.csv", "ambiguous_unit_price", 4, "unit_price 2.500 (line 2): the point"
             " is read as the decimal point, and no amount of the column has another number"),
            ("orders_1.csv", "ambiguous_total_amount", 9, "total_amount 150.000 (line 2): the point"
             " is read as the decimal point, and the column has 1.250.000, too"),
        ),
    ),
    "a quantity of a thousand is one piece unless another quantity says otherwise": Case(
        files=shop(
            table(ORDERS, order("O1", "10"), order("O2", "10")),
            table(ITEMS, "O1,P1,1.000,10", "O2,P1,2.000,10", "O2,P1,1.500,10"),
        ),
        orders=2, revenue="20.00", customers=2, categories={"Kitchen": "30.00"},
        rejected=frozenset({("order_items_1.csv", 4, "bad_quantity")}),
        warned=(
            ("order_items_1.csv", "ambiguous_quantity", 2, "quantity 1.000 (line 2), 2.000 (line 3)"
             ": the point is read as the decimal point, and the column has 1.500, too"),
        ),
    ),
    "points that separate decimals are not reported": Case(
        files=shop(
            table(ORDERS, order("O1", "150.000"), order("O2", "10.5"), order("O3", "0.125")),
            table(ITEMS, "O1,P1,1.000,10.125", "O2,P1,1,9.99", "O3,P1,2,0.0001"),
        ),
        orders=3, revenue="160.63", customers=3, categories={"Kitchen": "20.12"},
    ),
    "a category that can't be a key is set aside": Case(
        files=shop(
            table(ORDERS, *_TEN), table(ITEMS, *_TEN_LINES),
            PRODUCTS + f"P3,{'long ' * 210},n,1\nP4,Kit\x07chen,n,1\nP5,\"Kit\nchen\",n,1\n"
            f"P6,Kit\u2028chen,n,1\n",
        ),
        rejected=frozenset(
            {("products.csv", n, "malformed_category") for n in (4, 5, 6, 8)}
        ), **_GOOD,
    ),
    "white space is the same with and without a blank line": Case(
        files=shop(
            table(ORDERS, *_TEN), table(ITEMS, *_TEN_LINES, line("O1", "P2")),
            PRODUCTS.replace("Garden", "Kitchen\u00a0") + "\n",
        ),
        orders=10, revenue="100.00", customers=10, categories={"Kitchen": "110.00"},
    ),
    "a stray quote swallows no row": Case(
        files=shop(
            table(
                ORDERS + ",note", *[f"{row}," for row in _TEN],
                order("O11") + ',"left at door', order("O12") + ",", order("O13") + ',call first"',
                order("O14") + ",",
            ),
            table(ITEMS, *_TEN_LINES),
        ),
        orders=11, revenue="110.00", customers=11, categories={"Kitchen": "100.00"},
        rejected=frozenset({("orders_1.csv", 12, "stray_quote")}),
    ),
    "a text of several lines is one value": Case(
        files=shop(
            table("note," + ORDERS, *[f'"rings,\ntwice",{row}' for row in _TEN]),
            table(ITEMS + ",note", *[f'{row},"two\nlines, of text"' for row in _TEN_LINES]),
        ), **_GOOD,
    ),
    "ids keep the spaces within": Case(
        files=shop(
            table(ORDERS, *_TEN), table(ITEMS, line("O1", "BANK CHARGES")),
            PRODUCTS + "BANK CHARGES,Fees,n,1\n",
        ),
        orders=10, revenue="100.00", customers=10, categories={"Fees": "10.00"},
    ),
    "invisible characters around a value are trimmed": Case(
        files={
            **shop(
                table(ORDERS, order("\u200bO1"), *_TEN[1:]),
                table(ITEMS, *_TEN_LINES), PRODUCTS.replace("Kitchen", "\x1eKitchen\u200d"),
            ),
            "orders_2.csv": table(ORDERS, "O1\u00a0,U1,2025-03-04,10.00,delivered",
                                  "\ufeffO1\u2028,U1,2025-03-04,10.00,delivered"),
        }, **_GOOD,
    ),
    "columns that no dataset needs may be repeated, and missing at the end": Case(
        files=shop(
            table(ORDERS + ",x,x", *[f"{row},1,2" for row in _TEN[:5]], *_TEN[5:]),
            table(ITEMS, *_TEN_LINES),
        ), **_GOOD,
    ),
    "gzip files are read": Case(
        files={
            "orders_1.csv.gz": gzip.compress(table(ORDERS, *_TEN, order("O11", "x"))),
            "order_items_1.csv.gz": gzip.compress(table(ITEMS, *_TEN_LINES)),
            "products.csv": PRODUCTS.encode(),
        },
        rejected=frozenset({("orders_1.csv.gz", 12, "bad_total_amount")}), **_GOOD,
    ),
}  # fmt: skip
