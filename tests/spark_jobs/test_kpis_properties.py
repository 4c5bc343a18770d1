"""KPIs are a function of the rows that count, however they are delivered."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import oracle
from tests.conftest import Compute, write_delivery

ORDERS = 8
PRODUCTS = [
    {"product_id": f"p{n}", "category": category, "name": "", "price": "1.00"}
    for n, category in enumerate(["Books", "Books", "Toys"])
]
STATUSES = ["completed", "returned", " Returned", "RETURNED ", "cancelled", "Canceled", "shipped\t"]

# Property tests look for surprises, and CI must not have any: the same examples every time.
THOROUGH = settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def money(places: int, largest: str):
    return st.decimals(min_value=0, max_value=largest, places=places).map(str)


@st.composite
def shops(draw: st.DrawFn) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Orders with unique ids, and lines whose identical twins are kept together by a key."""
    orders = [
        {
            "order_id": str(n),
            "user_id": draw(st.sampled_from(["", "u1", "u2", " u1 "])),
            "order_date": draw(st.sampled_from(["2025-03-01", "2025-03-02T23:59:59"])),
            "total_amount": draw(money(2, "9999999999999999.99")),
            "status": draw(st.sampled_from(STATUSES)),
        }
        for n in range(draw(st.integers(1, ORDERS)))
    ]
    lines = draw(
        st.lists(
            st.fixed_dictionaries(
                {
                    # Some lines name orders and products that are not there.
                    "order_id": st.integers(0, ORDERS).map(str),
                    "product_id": st.sampled_from(["p0", "p1", "p2", "p9"]),
                    "quantity": st.integers(1, 3).map(str),
                    "unit_price": money(4, "9999999.9999")
                    | st.sampled_from(["0.005", "0.0049", "0.3333"]),
                }
            ),
            max_size=12,
        )
    )
    return orders, lines


@st.composite
def splits(draw: st.DrawFn) -> dict[str, list[dict[str, str]]]:
    """One shop's rows, shuffled and dealt out to files; identical lines stay in one file."""
    orders, lines = draw(shops())
    files: dict[str, list[dict[str, str]]] = {}
    for row in draw(st.permutations(orders)):
        files.setdefault(f"orders_{draw(st.integers(1, 3))}.csv", []).append(row)
    place: dict[tuple[str, ...], int] = {}
    for row in draw(st.permutations(lines)):
        number = place.setdefault(tuple(row.values()), draw(st.integers(1, 3)))
        files.setdefault(f"order_items_{number}.csv", []).append(row)
    files.setdefault("order_items_1.csv", [])
    files["products.csv"] = PRODUCTS
    return files


@THOROUGH
@given(files=splits())
def test_any_split_into_files_gives_the_same_kpis(files, compute: Compute) -> None:
    together: dict[str, list[dict[str, str]]] = {"products.csv": PRODUCTS, "order_items_1.csv": []}
    for name, rows in files.items():
        if name != "products.csv":
            whole = "orders_1.csv" if name.startswith("orders") else "order_items_1.csv"
            together.setdefault(whole, []).extend(rows)
    with TemporaryDirectory() as folder:
        found = compute(write_delivery(Path(folder, "split"), files))
        assert found == compute(write_delivery(Path(folder, "whole"), together))
        assert found == oracle.from_rows(files)


@st.composite
def histories(draw: st.DrawFn) -> dict[str, list[dict[str, str]]]:
    """Files that overlap, as rolling exports do: the same orders and lines in several files."""
    orders, lines = draw(shops())
    later = [
        {**row, "status": "returned", "order_date": "2025-03-03"}
        for row in draw(st.lists(st.sampled_from(orders), max_size=4))
    ]
    repeated = draw(st.lists(st.sampled_from(lines), max_size=6)) if lines else []
    return {
        "orders_1.csv": orders,
        "orders_2.csv": later,
        "order_items_1.csv": lines,
        "order_items_2.csv": repeated,
        "products.csv": PRODUCTS,
    }


@THOROUGH
@given(files=histories())
def test_overlapping_files_follow_the_identity_rules(files, compute: Compute) -> None:
    with TemporaryDirectory() as folder:
        assert compute(write_delivery(Path(folder), files)) == oracle.from_rows(files)
