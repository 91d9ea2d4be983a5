"""`python -m grafana` writes every dashboard to dashboards/."""

from pathlib import Path

import msgspec

from grafana import gateway, models, policy, subcategory, trust
from grafana.board import dashboard

FOLDER = Path(__file__).parent / "dashboards"
BOARDS = (trust.BOARD, subcategory.BOARD, models.BOARD, policy.BOARD, gateway.BOARD)


def files() -> dict[Path, str]:
    """The content of each file."""
    return {
        FOLDER / f"{board.uid}.json": msgspec.json.format(msgspec.json.encode(dashboard(board)), indent=2).decode()
        + "\n"
        for board in BOARDS
    }


def main() -> None:
    for path, text in files().items():
        path.write_text(text)


if __name__ == "__main__":
    main()
