"""The checks in plain DuckDB SQL: python duckdb_sql.py INPUT_DIR OUTPUT_DIR."""

import json
import sys
from pathlib import Path

import duckdb

ID = "'[^[:cntrl:]]{1,64}'"
STATUSES = """('pending', 'processing', 'shipped', 'delivered', 'completed', 'returned',
    'refunded', 'cancelled')"""
READ = "read_csv('{folder}/{files}', all_varchar=true, header=true, delim=',', filename=true)"

PRODUCTS = """
    CREATE TABLE products AS
    SELECT *, CASE WHEN product_id IS NULL THEN 'missing_product_id'
        WHEN NOT regexp_full_match(product_id, {id}) THEN 'malformed_product_id'
        WHEN category IS NULL THEN 'missing_category'
        WHEN price IS NULL THEN 'missing_price'
        WHEN try_cast(price AS DECIMAL(18,2)) IS NULL THEN 'bad_price'
        WHEN price::DECIMAL(18,2) < 0 THEN 'price_out_of_range' END AS fault
    FROM {read}
"""
ORDERS = """
    CREATE TABLE orders AS
    SELECT * EXCLUDE (order_date, total_amount), try_cast(order_date AS DATE) AS day,
        try_cast(total_amount AS DECIMAL(18,2)) AS amount,
        CASE WHEN order_id IS NULL THEN 'missing_order_id'
        WHEN NOT regexp_full_match(order_id, {id}) THEN 'malformed_order_id'
        WHEN order_date IS NULL THEN 'missing_order_date'
        WHEN day IS NULL THEN 'bad_order_date'
        WHEN day NOT BETWEEN DATE '2000-01-01' AND current_date + 1
            THEN 'order_date_out_of_range'
        WHEN total_amount IS NULL THEN 'missing_total_amount'
        WHEN amount IS NULL THEN 'bad_total_amount'
        WHEN amount < 0 THEN 'total_amount_out_of_range'
        WHEN status IS NULL THEN 'missing_status'
        WHEN status NOT IN {statuses} THEN 'unknown_status' END AS fault
    FROM {read}
"""
LINES = """
    CREATE TABLE order_items AS
    SELECT order_id, product_id, try_cast(quantity AS BIGINT) AS pieces,
        try_cast(unit_price AS DECIMAL(18,4)) AS price,
        CASE WHEN order_id IS NULL THEN 'missing_order_id'
        WHEN NOT regexp_full_match(order_id, {id}) THEN 'malformed_order_id'
        WHEN product_id IS NULL THEN 'missing_product_id'
        WHEN NOT regexp_full_match(product_id, {id}) THEN 'malformed_product_id'
        WHEN quantity IS NULL THEN 'missing_quantity'
        WHEN pieces IS NULL THEN 'bad_quantity'
        WHEN pieces NOT BETWEEN 1 AND 1000000 THEN 'quantity_out_of_range'
        WHEN unit_price IS NULL THEN 'missing_unit_price'
        WHEN price IS NULL THEN 'bad_unit_price'
        WHEN price NOT BETWEEN 0 AND 10000000 THEN 'unit_price_out_of_range' END AS fault,
        fault IS NULL AND order_id NOT IN (SELECT order_id FROM orders WHERE fault IS NULL)
            AS no_order,
        fault IS NULL AND product_id NOT IN (SELECT product_id FROM products WHERE fault IS NULL)
            AS no_product
    FROM {read}
"""
COUNTS = """
    WITH totals AS (SELECT order_id, round(sum(pieces * price), 2) AS total
                    FROM order_items WHERE fault IS NULL AND NOT no_order AND NOT no_product
                    GROUP BY order_id),
         sound AS (FROM orders WHERE fault IS NULL)
    SELECT 'orders.' || fault, count(*) FROM orders WHERE fault IS NOT NULL GROUP BY fault
    UNION ALL SELECT 'products.' || fault, count(*) FROM products
        WHERE fault IS NOT NULL GROUP BY fault
    UNION ALL SELECT 'order_items.' || fault, count(*) FROM order_items
        WHERE fault IS NOT NULL GROUP BY fault
    UNION ALL SELECT 'order_items.unknown_order', count(*) FROM order_items WHERE no_order
    UNION ALL SELECT 'order_items.unknown_product', count(*) FROM order_items WHERE no_product
    UNION ALL SELECT 'orders.missing_user_id', count(*) FROM sound WHERE user_id IS NULL
    UNION ALL SELECT 'orders.malformed_user_id', count(*) FROM sound
        WHERE NOT regexp_full_match(user_id, {id})
    UNION ALL SELECT 'orders.repeated_order_id', coalesce(sum(times - 1), 0)::BIGINT FROM (
        SELECT count(*) AS times FROM sound GROUP BY order_id, filename)
    UNION ALL SELECT 'orders.order_without_lines', count(*)
        FROM sound ANTI JOIN order_items USING (order_id)
    UNION ALL SELECT 'orders.total_mismatch', count(*)
        FROM sound JOIN totals USING (order_id) WHERE amount <> total
"""


def main(folder: Path, output: Path) -> None:
    with duckdb.connect(config={"preserve_insertion_order": False}) as db:
        for statement, files in (
            (PRODUCTS, "products*.csv"),
            (ORDERS, "orders_*.csv"),
            (LINES, "order_items_*.csv"),
        ):
            read = READ.format(folder=folder, files=files)
            db.execute(statement.format(id=ID, statuses=STATUSES, read=read))
        counts = dict(db.execute(COUNTS.format(id=ID)).fetchall())
    output.mkdir(parents=True, exist_ok=True)
    found = {name: number for name, number in sorted(counts.items()) if number}
    (output / "counts.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
