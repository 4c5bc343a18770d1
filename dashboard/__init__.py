"""The KPI dashboard: one self-contained HTML page that every run writes.

    dashboard/index.html     what people open; it links to ../data_docs, ../runs, ../quarantine
    dashboard/kpis.json.gz   the figures of all its dates, which each run updates

Figures are taken from the items that the run has just published (:mod:`dashboard.figures`), put
into the page (:mod:`dashboard.page`) and written to the bucket (:mod:`dashboard.publishing`).
"""
