"""Two deliveries of a small shop, the second of which changes what the first has said."""

from pathlib import Path

from tests.conftest import write_delivery

ORDERS = ("order_id", "user_id", "order_date", "total_amount", "status")
LINES = ("order_id", "product_id", "quantity", "unit_price")
PRODUCTS = [
    {"product_id": "p1", "category": "Books", "name": "a", "price": "1.00"},
    {"product_id": "p2", "category": "Toys", "name": "b", "price": "1.00"},
]


def order(order_id: str, day: str = "2026-02-01", status: str = "delivered") -> dict[str, str]:
    return dict(zip(ORDERS, (order_id, "u1", day, "10.00", status), strict=True))


def line(order_id: str, product_id: str = "p1", quantity: str = "1") -> dict[str, str]:
    return dict(zip(LINES, (order_id, product_id, quantity, "2.50"), strict=True))


def first_delivery(folder: Path) -> Path:
    return write_delivery(
        folder,
        {
            "products.csv": PRODUCTS,
            "orders_1.csv": [order("1"), order("2", "2026-02-02"), order("3", "2026-02-03")],
            "order_items_1.csv": [line("1"), line("2", "p2"), line("3"), line("9")],
        },
    )


def second_delivery(folder: Path) -> Path:
    """A return, an order whose lines wait, one that moves to another date, lines and a product."""
    return write_delivery(
        folder,
        {
            "products.csv": [*PRODUCTS, PRODUCTS[0] | {"product_id": "p3", "category": "Art"}],
            "orders_2.csv": [
                order("1", status="returned"),
                order("9", "2026-02-04"),
                order("3", "2026-02-01"),
            ],
            "order_items_2.csv": [line("2", "p3", "4"), line("9", "p2")],
        },
    )
