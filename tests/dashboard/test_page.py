"""The page in a real browser: what it shows, how it is used, and what it looks like."""

import hashlib
import json
import re
from dataclasses import replace
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from dashboard import page as dashboard_page
from dashboard.figures import Figures
from spark_jobs.publish.tables import Day
from tests.conftest import ROOT

from .conftest import LAST_DAY, SCREENSHOTS, Open, figures_of, last_days, write_page
from .days import category_item, whole_day

NOTHING = "\N{EN DASH}"
VENDORED = {
    "uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    "LICENSE": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
}


def table(page: Page, caption: str) -> list[dict[str, str]]:
    """Return a table's rows by the names of its columns."""
    found: list[list[str]] = page.locator("table", has=page.get_by_text(caption)).evaluate(
        "table => [...table.rows].map(row => [...row.cells].map(cell => cell.textContent))"
    )
    names, *rows = found
    return [dict(zip(names, row, strict=True)) for row in rows]


def tile(page: Page, name: str, within: str = "#tiles") -> str:
    return page.locator(f"{within} div", has=page.get_by_text(name, exact=True)).inner_text()


def open_table(page: Page, within: str) -> None:
    page.locator(f"{within} summary", has_text="as a table").click()


def money(amount: Decimal) -> str:
    return f"{amount.quantize(Decimal('0.01'), ROUND_HALF_UP):,}"


def rate(part: int, whole: int) -> str:
    return money(Decimal(100 * part) / whole) + " %"


def item(day: Day) -> Any:
    assert day.order_item is not None
    return day.order_item


def drawn_at(page: Page) -> dict[str, float]:
    found: dict[str, float] = page.evaluate(
        """() => Object.fromEntries(
            [...performance.getEntriesByType("paint"), ...performance.getEntriesByName("drawn")]
                .map(entry => [entry.name, Math.round(entry.startTime)]))"""
    )
    return found


def shoot(page: Page, name: str, **options: Any) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    picture = SCREENSHOTS / f"dashboard-{name}.png"
    picture.unlink(missing_ok=True)
    page.screenshot(path=picture, **{"full_page": True, **options})
    assert picture.stat().st_size > 20_000


def daily_rows(days: list[Day]) -> list[dict[str, str]]:
    revenue = {day.order_date: item(day)["total_revenue"] for day in days}

    def week_before(day: Day) -> str:
        before = (date.fromisoformat(day.order_date) - timedelta(days=7)).isoformat()
        return money(revenue[before]) if before in revenue else NOTHING

    return [
        {
            "Date": day.order_date,
            "Revenue": money(item(day)["total_revenue"]),
            "Week before": week_before(day),
            "Net revenue": money(item(day)["net_revenue"]),
            "Orders": f"{item(day)['total_orders']:,}",
            "Returned": f"{item(day)['returned_orders']:,}",
            "Return rate": f"{item(day)['return_rate']} %",
            "Items sold": f"{item(day)['total_items_sold']:,}",
            "Customers": f"{item(day)['unique_customers']:,}",
        }
        for day in reversed(days)
    ]


def category_rows(days: list[Day], name: str) -> list[dict[str, str]]:
    found = [one for day in days for one in day.category_items if one["category"] == name]
    return [
        {
            "Date": one["order_date"],
            "Revenue": money(one["daily_revenue"]),
            "Average order value": money(one["avg_order_value"]),
            "Orders": f"{one['order_count']:,}",
            "Returned": f"{one['returned_orders']:,}",
            "Return rate": f"{one['avg_return_rate']} %",
        }
        for one in reversed(found)
    ]


def total(days: list[Day], name: str) -> Any:
    return sum((item(day)[name] for day in days), Decimal(0))


def test_every_day_and_every_category_shown_is_the_tables_to_the_cent(
    open_page: Open, month: list[Day], month_page: Path
) -> None:
    page = open_page(month_page)
    open_table(page, "#day-table")
    assert table(page, "OrderKPIs") == daily_rows(month)
    for name in sorted(item(month[0])["categories"]):
        page.locator("#ranking").get_by_role("button", name=name, exact=True).click()
        open_table(page, "#category")
        assert table(page, "CategoryKPIs") == category_rows(month, name)
        page.get_by_role("button", name="All categories").click()


def test_a_week_is_compared_with_the_one_before(
    open_page: Open, month: list[Day], month_page: Path
) -> None:
    page = open_page(month_page)
    now, before = month[-7:], month[-14:-7]
    revenue, earlier = total(now, "total_revenue"), total(before, "total_revenue")
    change = (100 * (revenue - earlier) / earlier).quantize(Decimal("0.1"), ROUND_HALF_UP)
    assert change > 0
    assert tile(page, "Revenue").split() == [
        *("Revenue", money(revenue), "▲", "up", f"{change}", "%", "from", money(earlier))
    ]
    assert f"{total(now, 'total_orders')}" in tile(page, "Orders").replace(",", "")
    returned, orders = total(now, "returned_orders"), total(now, "total_orders")
    assert rate(returned, orders) in tile(page, "Return rate")
    page.get_by_label("to", exact=True).fill(month[12].order_date)
    assert tile(page, "Revenue").split() == [
        *("Revenue", money(total(month[6:13], "total_revenue"))),
        *("no", "whole", "week", "before", "it"),
    ]


def test_items_sold_and_average_order_values_are_shown_without_opening_a_table(
    open_page: Open, month: list[Day], month_page: Path
) -> None:
    page = open_page(month_page)
    assert f"{total(month[-7:], 'total_items_sold'):,}" in tile(page, "Items sold")
    expect(page.get_by_role("slider", name="Items sold, by day")).to_be_visible()
    page.locator("#ranking").get_by_role("button", name="Garden").click()
    garden = [one for day in month for one in day.category_items if one["category"] == "Garden"]
    revenue = sum((one["daily_revenue"] for one in garden), Decimal(0))
    average = money(revenue / sum(one["order_count"] for one in garden))
    assert tile(page, "Average order value", "#category dl").split()[-1] == average
    chart = page.get_by_role("slider", name="Average order value of Garden, by day")
    last = month[-1].category_items[
        [c["category"] for c in month[-1].category_items].index("Garden")
    ]
    assert f": {last['avg_order_value']}, week before " in (
        chart.get_attribute("aria-valuetext") or ""
    )


def test_a_day_that_was_published_without_a_column_has_a_dash_there(
    open_page: Open, month: list[Day], tmp_path: Path
) -> None:
    older = {name: value for name, value in item(month[0]).items() if name != "total_items_sold"}
    days = [replace(month[0], order_item=older), *month[1:]]
    page = open_page(write_page(tmp_path, figures_of(days)))
    open_table(page, "#day-table")
    cells = [row["Items sold"] for row in table(page, "OrderKPIs")]
    assert (cells[-1], cells[-2]) == (NOTHING, f"{item(month[1])['total_items_sold']:,}")


def test_categories_are_ranked_by_their_revenue_in_the_time_shown(
    open_page: Open, month: list[Day], month_page: Path
) -> None:
    page = open_page(month_page)
    page.get_by_role("button", name="7 days").click()
    sums: dict[str, list[Any]] = {}
    for one in (one for day in month[-7:] for one in day.category_items):
        known = sums.setdefault(one["category"], [Decimal(0), 0, 0])
        known[0] += one["daily_revenue"]
        known[1] += one["order_count"]
        known[2] += one["returned_orders"]
    ranked = sorted(sums.items(), key=lambda pair: -pair[1][0])
    shown = table(page, "the last seven days against")
    assert [list(row.values())[:6] for row in shown] == [
        [
            *(str(n), name, money(revenue), money(revenue / orders)),
            *(rate(returned, orders), f"{orders:,}"),
        ]
        for n, (name, (revenue, orders, returned)) in enumerate(ranked, start=1)
    ]
    page.get_by_role("button", name="Return rate").click()
    rates = [row["Return rate ↓"] for row in table(page, "the last seven days against")]
    assert rates == sorted(rates, key=lambda text: -float(text.removesuffix(" %")))
    expect(page.get_by_role("columnheader", name="Return rate")).to_have_attribute(
        "aria-sort", "descending"
    )


def test_a_category_opens_by_keyboard_and_the_address_leads_back_to_it(
    open_page: Open, month_page: Path
) -> None:
    page = open_page(month_page)
    garden = page.locator("#ranking").get_by_role("button", name="Garden")
    garden.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Garden")).to_be_visible()
    expect(garden).to_be_focused()
    expect(garden).to_have_attribute("aria-pressed", "true")
    assert page.url.endswith("#category=Garden")
    page.go_back()
    expect(page.get_by_role("heading", name="The 5 largest over time")).to_be_visible()
    page.go_forward()
    expect(page.get_by_role("heading", name="Garden")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Garden")).to_be_visible()


def test_a_chart_is_read_out_day_by_day_with_the_arrow_keys(
    open_page: Open, month: list[Day], month_page: Path
) -> None:
    page = open_page(month_page)
    chart = page.get_by_role("slider", name="Revenue, by day").first
    chart.focus()
    for key, place in (("ArrowLeft", -2), ("PageDown", -9), ("End", -1)):
        page.keyboard.press(key)
        day, before = month[place], month[place - 7]
        said = chart.get_attribute("aria-valuetext")
        assert said is not None
        assert said.endswith(
            f" {money(item(day)['total_revenue'])},"
            f" week before {money(item(before)['total_revenue'])}"
        )
        assert f" {date.fromisoformat(day.order_date).day} Feb: " in said
    page.keyboard.press("Home")
    expect(chart).to_have_attribute("aria-valuenow", "0")
    assert f"week before {NOTHING}" in (chart.get_attribute("aria-valuetext") or "")


def test_the_pointer_reads_all_charts_at_the_same_day(
    open_page: Open, month: list[Day], month_page: Path
) -> None:
    page = open_page(month_page)
    box = page.locator("#day-charts .u-over").first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 1, box["y"] + box["height"] / 2)
    expect(page.locator("#day-charts .readout").first).to_contain_text("30 Jan: ")
    said = [
        text.partition(",")[0] for text in page.locator("#day-charts .readout").all_inner_texts()
    ]
    first = item(month[0])
    assert said[0].endswith(f": {money(first['total_revenue'])}".partition(",")[0])
    assert said[1].endswith(f": {first['total_orders']}")
    assert said[2].endswith(f": {first['total_items_sold']}")
    assert said[3].endswith(f": {first['return_rate']} %")
    assert said[4].endswith(f": {first['unique_customers']}")


def test_runs_lead_to_their_data_docs_and_to_what_was_quarantined_and_why(
    open_page: Open, month_page: Path
) -> None:
    page = open_page(month_page)
    rows = page.locator(".runs tbody tr")
    expect(rows).to_have_count(10)
    page.get_by_role("button", name="Show all 25 runs").click()
    expect(rows).to_have_count(25)
    run_id = "20260201T230000Z-0123456789abcdef"
    run = rows.filter(has_text=run_id)
    assert run.locator("td").all_inner_texts()[1:5] == [
        *("1,223", "2", "15"),
        "12 (61 rejected)",
    ]
    run.locator("summary").click()
    assert "missing_column, line 1: no column order_id" in run.inner_text()
    assert "and 11 files more, in the Data Docs" in run.inner_text()
    assert "unknown_order: 15 rows" in run.inner_text()
    links = [link.get_attribute("href") for link in run.get_by_role("link").all()]
    assert links[0] == f"../data_docs/runs/{run_id}.html"
    assert links[1] == f"../runs/{run_id}/published.json"
    assert links[2] == f"../quarantine/{run_id}/files/late%20orders/orders%201.csv"
    assert links[-1] == f"../quarantine/{run_id}/rows.csv"
    assert "recompute" in rows.filter(has_text="20260201T170000Z").inner_text()
    assert "none" in rows.filter(has_text="20260201T050000Z").inner_text()


def test_freshness_is_said_first(open_page: Open, month_page: Path) -> None:
    said = open_page(month_page).locator("#freshness").inner_text()
    assert said.startswith("Orders up to Sat, 28 February 2026. Computed 1 Mar 2026, 12:00 UTC (")
    assert "Latest delivery: 1,224 rows accepted, 0 quarantined, 0 held back." in said


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("wide", {}),
        ("phone", {"width": 375}),
        ("tablet", {"width": 800}),
        ("dark", {"color_scheme": "dark"}),
    ],
)
def test_axe_finds_nothing_and_nothing_is_cut_off(
    name: str, options: dict[str, Any], open_page: Open, month_page: Path
) -> None:
    page = open_page(month_page, reduced_motion="reduce", **options)
    shoot(page, name)
    page.locator("#ranking").get_by_role("button", name="Garden").click()
    open_table(page, "#day-table")
    open_table(page, "#category")
    page.evaluate("document.querySelectorAll('.runs details').forEach(run => run.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") == options.get("width", 1280)
    found = Axe().run(page)
    assert found.response["passes"]
    assert found.violations_count == 0, found.generate_report()
    page.evaluate("scrollTo(0, 0)")
    shoot(page, f"{name}-category")


def test_paper_gets_dark_ink_the_charts_and_the_tables_but_no_buttons(
    open_page: Open, month_page: Path
) -> None:
    page = open_page(month_page, width=718, color_scheme="dark")
    page.emulate_media(media="print")
    expect(page.locator("#range")).to_be_hidden()
    expect(page.locator(".u-wrap").first).to_have_css("width", "330px")
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(28, 36, 48)"
    assert page.evaluate("document.documentElement.scrollWidth") <= 718
    shoot(page, "print")
    pdf = page.pdf(path=SCREENSHOTS / "dashboard.pdf", format="A4")
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 4


def test_three_years_of_two_hundred_categories_are_small_and_soon_there(
    open_page: Open, years: list[Day], years_page: Path, record_property: Any
) -> None:
    size = years_page.stat().st_size
    assert size <= 3_000_000
    page = open_page(years_page)
    times = drawn_at(page)
    record_property("milliseconds", json.dumps(times))
    record_property("bytes", size)
    print(f"3 years x 200 categories: {size:,} bytes, milliseconds {times}")
    # 2 s are promised; other work on the machine may have its share.
    assert times["first-contentful-paint"] <= 4000
    page.get_by_role("button", name="All", exact=True).click()
    readout = page.locator("#day-charts .readout").first
    assert readout.inner_text() == (
        f"week to Sat, 28 Feb 2026: {money(total(years[-7:], 'total_revenue'))}"
    )
    assert page.locator("#days-legend").inner_text() == "A point is the seven days up to it."
    page.get_by_label("Find a category").fill("category 19")
    shown = [row["Category"] for row in table(page, "the last seven days against")]
    assert sorted(shown) == [f"Category {n}" for n in range(190, 200)]
    page.get_by_role("button", name="Category 197").click()
    open_table(page, "#category")
    assert table(page, "CategoryKPIs") == category_rows(years, "Category 197")
    open_table(page, "#day-table")
    assert table(page, "OrderKPIs") == daily_rows(years)
    shoot(page, "years", full_page=False)


def test_amounts_beyond_what_a_float_holds_are_shown_and_added_exactly(
    open_page: Open, tmp_path: Path
) -> None:
    large = Decimal("99999999999999999999999999.99")
    days = []
    for n in range(14):
        day = LAST_DAY - timedelta(days=13 - n)
        one = category_item("Gold", day, Decimal(1), 1, 0) | {"daily_revenue": large}
        made = whole_day(day, [one], Decimal(1), 1)
        days.append(replace(made, order_item={**item(made), "total_revenue": large}))
    page = open_page(write_page(tmp_path, figures_of(days)))
    assert "699,999,999,999,999,999,999,999,999.93" in tile(page, "Revenue")
    [row] = table(page, "the last seven days against")
    assert row["Revenue ↓"] == "1,399,999,999,999,999,999,999,999,999.86"


def test_a_single_day_and_a_gap_between_days_are_drawn(open_page: Open, tmp_path: Path) -> None:
    days = last_days(20, 3)
    page = open_page(write_page(tmp_path / "gap", figures_of([*days[:5], *days[9:]])))
    chart = page.get_by_role("slider", name="Orders, by day")
    expect(chart).to_have_attribute("aria-valuemax", "19")
    chart.focus()
    page.keyboard.press("Home")
    page.keyboard.press("PageUp")
    assert f": {NOTHING}, week before " in (chart.get_attribute("aria-valuetext") or "")
    open_table(page, "#day-table")
    assert len(table(page, "OrderKPIs")) == 16
    page = open_page(write_page(tmp_path / "single", figures_of(days[-1:])))
    assert money(item(days[-1])["total_revenue"]) in tile(page, "Revenue")


def test_before_the_first_orders_the_page_says_so(open_page: Open, tmp_path: Path) -> None:
    file = write_page(tmp_path, figures_of([], runs=2))
    page = open_page(file)
    assert page.locator("#freshness").inner_text().startswith("No KPIs yet")
    expect(page.locator(".runs tbody tr")).to_have_count(2)
    expect(page.get_by_role("heading", name="Categories")).to_be_hidden()


def test_an_address_that_names_what_is_not_there_shows_what_is(
    open_page: Open, month_page: Path
) -> None:
    page = open_page(month_page)
    page.goto(f"{month_page.as_uri()}#category=Nothing&from=1999-01-01&to=never")
    page.reload()
    expect(page.get_by_role("heading", name="The 5 largest over time")).to_be_visible()
    assert page.get_by_label("From").input_value() == "2026-01-30"


def test_names_from_a_delivery_are_text_and_never_markup(tmp_path: Path, open_page: Open) -> None:
    [day] = last_days(1, 1)
    name = '</script><img src=x onerror="document.title=1">'
    evil = {**day.category_items[0], "category": name}
    changed = replace(day, category_items=[evil], order_item={**item(day), "categories": {name}})
    page = open_page(write_page(tmp_path, figures_of([changed])))
    assert page.locator("#ranking").get_by_role("button", name=name).inner_text() == name
    assert page.title() == "Shop KPIs"


def test_more_categories_than_a_page_holds_are_said_to_be_left_out(
    monkeypatch: pytest.MonkeyPatch, open_page: Open, tmp_path: Path
) -> None:
    monkeypatch.setattr(dashboard_page, "MAX_CATEGORIES", 4)
    figures: Figures = figures_of(last_days(8, 7))
    page = open_page(write_page(tmp_path, figures))
    assert "4 categories by revenue" in page.locator("#ranking-note").inner_text()
    assert "3 more, with less revenue" in page.locator("#ranking-note").inner_text()


def test_the_chart_library_is_the_released_one_with_its_licence() -> None:
    folder = ROOT / "dashboard/vendor/uplot"
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    assert found == VENDORED
    assert "uPlot (v1.6.32)" in (folder / "uPlot.iife.min.js").read_text()
