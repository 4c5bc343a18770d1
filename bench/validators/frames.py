"""What the pandas validators share: reading, typed columns, and how the tables go together."""

from pathlib import Path

import pandas as pd

ID = r"^[^\x00-\x1f\x7f]{1,64}$"
MONEY = r"^-?\d{1,16}(\.\d*)?$"
PRICE = r"^-?\d{1,14}(\.\d*)?$"
QUANTITY = r"^-?\d{1,18}$"
DATE = r"^\d{4}-\d{2}-\d{2}$"
STATUSES = [
    "pending",
    "processing",
    "shipped",
    "delivered",
    "completed",
    "returned",
    "refunded",
    "cancelled",
]
LATEST = pd.Timestamp.now(tz="UTC").tz_localize(None).normalize() + pd.Timedelta(days=1)
EARLIEST = pd.Timestamp("2000-01-01")


def read(folder: Path, pattern: str) -> pd.DataFrame:
    """Return the files' rows as text, with ``file``; an empty value is None."""
    frames = [
        pd.read_csv(path, dtype="string[pyarrow]", na_values=[""], keep_default_na=False).assign(
            file=number
        )
        for number, path in enumerate(sorted(folder.glob(pattern)))
    ]
    return pd.concat(frames, ignore_index=True)


def orders(folder: Path) -> pd.DataFrame:
    rows = read(folder, "orders_*.csv")
    rows["day"] = pd.to_datetime(rows["order_date"], format="%Y-%m-%d", errors="coerce")
    return rows.assign(amount=number(rows["total_amount"]))


def order_items(folder: Path) -> pd.DataFrame:
    rows = read(folder, "order_items_*.csv")
    return rows.assign(pieces=number(rows["quantity"]), price=number(rows["unit_price"]))


def products(folder: Path) -> pd.DataFrame:
    rows = read(folder, "products*.csv").rename(columns={"price": "price_text"})
    return rows.assign(price=number(rows["price_text"]))


def number(text: pd.Series) -> pd.Series:
    """Return floats, exact to the last place for the amounts of these deliveries; NaN if none."""
    return pd.to_numeric(text.to_numpy(dtype=object, na_value=None), errors="coerce")


def add_parents(lines: pd.DataFrame, orders: pd.DataFrame, products: pd.DataFrame) -> pd.DataFrame:
    return lines.assign(
        order_known=lines["order_id"].isin(orders["order_id"]).to_numpy(bool),
        product_known=lines["product_id"].isin(products["product_id"]).to_numpy(bool),
    )


def add_relations(
    orders: pd.DataFrame, all_lines: pd.DataFrame, sound_lines: pd.DataFrame
) -> pd.DataFrame:
    exact = sound_lines["pieces"] * (sound_lines["price"] * 10_000).round()
    totals = exact.groupby(sound_lines["order_id"], sort=False).sum()
    cents = orders["order_id"].map((totals + 50) // 100).to_numpy(float, na_value=float("nan"))
    total = (orders["amount"] * 100).round()
    return orders.assign(
        has_lines=orders["order_id"].isin(all_lines["order_id"]).to_numpy(bool),
        total_matches=((cents == total) | pd.isna(cents)).to_numpy(bool),
    )
