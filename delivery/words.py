"""White space, the words for nothing and the words for an order's status.

The reader's only lists of them: every file is read with the same ones, in both stages.
"""

from collections.abc import Iterator, Mapping
from typing import Final

# Trimmed around every value: Unicode's white space, and what a spreadsheet or a browser adds
# without showing it (zero-width characters, byte order marks, marks of text direction).
WHITE_SPACE: Final = (
    " \t\n\v\f\r\x1c\x1d\x1e\x1f\x85\xa0\u1680"
    "\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
    "\xad\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e"
    "\u2060\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069\ufeff"
)

# In an id, a category or a status these are missing values, in capitals or not.
NULL_WORDS: Final = ("null", "none", "nan", "n/a", "na", "#n/a", r"\n", "-")

# The KPIs know four statuses: returned orders count in the return rates, returned and cancelled
# ones are left out of net_revenue, and the other two differ only for who reads the rows.
COMPLETED: Final = "completed"
RETURNED: Final = "returned"
CANCELLED: Final = "cancelled"
OTHER: Final = "other"
STATUSES: Final = (COMPLETED, RETURNED, CANCELLED, OTHER)

# The words of WooCommerce, Shopify, Magento, Olist and TheLook, in lower case; a word
# with a space is known with hyphens or underscores, too. The most frequent come first: they
# are compared in this order. A refund alone does not say that goods came back: it is "other".
STATUS_WORDS: Final[Mapping[str, str]] = {
    "delivered": COMPLETED,
    "completed": COMPLETED,
    "complete": COMPLETED,
    "shipped": OTHER,
    "processing": OTHER,
    "pending": OTHER,
    "cancelled": CANCELLED,
    "canceled": CANCELLED,
    "returned": RETURNED,
    "refunded": OTHER,
    "other": OTHER,
    # WooCommerce; its tables and some exports put "wc-" before the word
    "on hold": OTHER,
    "failed": CANCELLED,
    "draft": OTHER,
    "checkout draft": OTHER,
    "trash": CANCELLED,
    "pending payment": OTHER,
    "wc completed": COMPLETED,
    "wc processing": OTHER,
    "wc pending": OTHER,
    "wc on hold": OTHER,
    "wc cancelled": CANCELLED,
    "wc refunded": OTHER,
    "wc failed": CANCELLED,
    "wc checkout draft": OTHER,
    # Shopify: financial and fulfilment status
    "paid": COMPLETED,
    "fulfilled": COMPLETED,
    "unfulfilled": OTHER,
    "partial": OTHER,
    "partially fulfilled": OTHER,
    "partially paid": OTHER,
    "partially refunded": OTHER,
    "authorized": OTHER,
    "unpaid": OTHER,
    "unshipped": OTHER,
    "open": OTHER,
    "archived": COMPLETED,
    "in progress": OTHER,
    "scheduled": OTHER,
    "restocked": RETURNED,
    "voided": CANCELLED,
    "expired": CANCELLED,
    # Magento; "closed" is an order that is refunded in full
    "closed": OTHER,
    "holded": OTHER,
    "payment review": OTHER,
    "fraud": OTHER,
    "suspected fraud": OTHER,
    "pending paypal": OTHER,
    "paypal reversed": OTHER,
    "paypal canceled reversal": OTHER,
    # Olist
    "created": OTHER,
    "approved": OTHER,
    "invoiced": OTHER,
    "unavailable": CANCELLED,
}


def spelled_statuses() -> Iterator[tuple[str, str]]:
    """Yield each word of STATUS_WORDS, with each way to join its parts, and its status."""
    for word, status in STATUS_WORDS.items():
        for joined in dict.fromkeys((word, word.replace(" ", "-"), word.replace(" ", "_"))):
            yield joined, status


def null_words(env: Mapping[str, str]) -> tuple[str, ...]:
    """Return the words of the setting NULL_WORDS, separated by spaces; by default NULL_WORDS.

    An empty setting means that no word is special.
    """
    text = env.get("NULL_WORDS")
    return NULL_WORDS if text is None else tuple(text.lower().split())
