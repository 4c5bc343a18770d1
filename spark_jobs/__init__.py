"""The transform: exact daily KPIs from orders, their lines and products."""
