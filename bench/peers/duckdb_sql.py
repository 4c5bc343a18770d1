"""Both KPI tables with DuckDB SQL, straight from the CSV files.

    python duckdb_sql.py INPUT_DIR OUTPUT_DIR

Types are given, not sniffed. Orders arrive again when they come back, at most once per file, so
the latest row is the one of the last file; only recurring orders pay for the window. No line
stands identically in two files of the generator's clean mode, so lines are read plainly.
DuckDB divides decimals as doubles: the quotients here are whole numbers instead, a half is
rounded up.
"""

import sys
from pathlib import Path

import duckdb

TABLES = """
    CREATE TABLE delivered AS FROM read_csv('{folder}/orders_*.csv', filename=true, columns={{
        order_id: 'VARCHAR', user_id: 'VARCHAR', order_date: 'DATE',
        total_amount: 'DECIMAL(18,2)', status: 'VARCHAR'}});
    CREATE TABLE again AS SELECT order_id FROM delivered GROUP BY order_id HAVING count(*) > 1;
    CREATE TABLE orders AS
        FROM delivered WHERE order_id NOT IN (FROM again)
        UNION ALL
        FROM delivered WHERE order_id IN (FROM again)
        QUALIFY row_number() OVER (PARTITION BY order_id ORDER BY filename DESC) = 1;
    CREATE TABLE products AS FROM read_csv('{folder}/products*.csv', columns={{
        product_id: 'VARCHAR', category: 'VARCHAR', name: 'VARCHAR', price: 'DECIMAL(18,2)'}});
    CREATE TABLE sales AS
        SELECT category, order_date, status, order_id,
               sum(quantity) AS items, sum(quantity * unit_price) AS revenue
        FROM read_csv('{folder}/order_items_*.csv', columns={{
            order_id: 'VARCHAR', product_id: 'VARCHAR', quantity: 'BIGINT',
            unit_price: 'DECIMAL(18,4)'}})
        JOIN products USING (product_id) JOIN orders USING (order_id)
        GROUP BY ALL;
"""
# Sums of money as whole numbers of their smallest unit: 1/10,000 of a line, a cent of an order.
MACROS = """
    CREATE MACRO half_up(dividend, divisor) AS
        ((2 * dividend + divisor) // (2 * divisor)) * 0.01::DECIMAL(3,2);
    CREATE MACRO is_net(status) AS status NOT IN ('returned', 'cancelled');
"""
CATEGORY_KPIS = """
    SELECT category, order_date,
           half_up(revenue, 100) AS daily_revenue,
           half_up(revenue, 100 * order_count) AS avg_order_value,
           half_up(10_000 * returned_orders, order_count) AS avg_return_rate,
           order_count, returned_orders,
           half_up(net, 100) AS net_revenue
    FROM (SELECT category, order_date,
                 (sum(revenue) * 10_000)::HUGEINT AS revenue,
                 (coalesce(sum(revenue) FILTER (is_net(status)), 0) * 10_000)::HUGEINT AS net,
                 count(*) AS order_count,
                 count(*) FILTER (status = 'returned') AS returned_orders
          FROM sales GROUP BY ALL)
    ORDER BY category, order_date
"""
ORDER_KPIS = """
    SELECT order_date, total_orders, total_revenue,
           coalesce(items, 0)::BIGINT AS total_items_sold,
           half_up(10_000 * returned_orders, total_orders) AS return_rate,
           unique_customers, total_orders AS order_count, returned_orders, net_revenue
    FROM (SELECT order_date, count(*) AS total_orders, sum(total_amount) AS total_revenue,
                 count(DISTINCT user_id) AS unique_customers,
                 count(*) FILTER (status = 'returned') AS returned_orders,
                 coalesce(sum(total_amount) FILTER (is_net(status)), 0) AS net_revenue
          FROM orders GROUP BY order_date)
    LEFT JOIN (SELECT order_date, sum(items) AS items FROM sales GROUP BY order_date)
        USING (order_date)
    ORDER BY order_date
"""


def main(folder: Path, output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(config={"preserve_insertion_order": False}) as db:
        db.execute(TABLES.format(folder=folder))
        db.execute(MACROS)
        for name, query in (("category_kpis", CATEGORY_KPIS), ("order_kpis", ORDER_KPIS)):
            db.execute(f"COPY ({query}) TO '{output / name}.csv' (HEADER)")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
