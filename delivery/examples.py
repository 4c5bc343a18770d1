"""What a person needs to know beside a reason: the values that were found, and what to do.

The verdict, messages and commands show it. It names words for a status and amounts only, because a
message leaves AWS by mail: a text in a status that is no word is counted, not shown.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Final

import duckdb

from .words import STATUSES

UNKNOWN_STATUS: Final = "unknown_status"
_WORD: Final = re.compile(r"[^\W\d_][\w .()/-]{0,39}")
_SHOWN: Final = 5

Details = Mapping[int, Mapping[str, str]]


def find(connection: duckdb.DuckDBPyConnection) -> Details:
    """Return a sentence by file (its ordinal) and reason, for the reasons that have one.

    Takes the connection while the datasets' tables still have the failing rows.
    """
    details: dict[int, dict[str, str]] = defaultdict(dict)
    for file, words in _unknown_statuses(connection).items():
        details[file][UNKNOWN_STATUS] = _about_statuses(words)
    for file, name, proof, amounts in connection.execute(_AMOUNTS).fetchall():
        details[file][f"ambiguous_{name}"] = _about_amounts(name, proof, amounts)
    return details


def _unknown_statuses(connection: duckdb.DuckDBPyConnection) -> Mapping[int, Mapping[str, int]]:
    found: dict[int, dict[str, int]] = defaultdict(dict)
    for file, word, count in connection.execute(_STATUSES, [UNKNOWN_STATUS]).fetchall():
        found[file][word] = count
    return found


def _about_statuses(found: Mapping[str, int]) -> str:
    words = [word for word in found if _WORD.fullmatch(word)]
    shown = [f"'{word}' ({found[word]:,})" for word in words[:_SHOWN]]
    if more := len(words) - len(shown):
        shown.append(f"{more:,} more")
    if others := sum(count for word, count in found.items() if word not in words):
        shown.append(f"{others:,} rows with a text that is no word")
    example = words[0] if words else "WORD"
    return (
        f"{', '.join(shown)}; accepted are {', '.join(STATUSES)} and the shops' words in"
        " docs/values.md; add yours to mapping.toml under [statuses]:"
        f' "{example}" = "{STATUSES[0]}"'
    )


def _about_amounts(name: str, proof: str | None, amounts: list[dict[str, object]]) -> str:
    shown = ", ".join(f"{each['amount']} (line {each['line']})" for each in amounts)
    if proof is None:
        why = "and no amount of the column has another number of decimals"
    else:
        why = f"and the column has {proof}, too, where points separate thousands"
    return (
        f"{name} {shown}: the point is read as the decimal point, {why}; check the KPIs, and"
        " deliver amounts without a separator of thousands"
    )


_STATUSES: Final = """
    SELECT _file, status, count(*) FROM orders JOIN failing USING (_file, _line)
    WHERE reason = ? GROUP BY ALL ORDER BY _file, count(*) DESC, status
    """
_AMOUNTS: Final = """
    SELECT _file, name, proof,
           list({'amount': amount, 'line': first_line} ORDER BY first_line)[:3]
    FROM (SELECT _file, name, proof, amount, min(_line) AS first_line
          FROM ambiguous_amounts ANTI JOIN quarantined USING (_file, _line)
          ANTI JOIN rejected_files USING (_file) GROUP BY ALL)
    GROUP BY ALL
    """
