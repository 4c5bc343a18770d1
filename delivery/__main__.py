"""Write the data contracts of docs/contract: ``python -m delivery``."""

from pathlib import Path
from typing import Final

from .data_contract import contracts

FOLDER: Final = Path(__file__).resolve().parent.parent / "docs" / "contract"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in contracts().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
