"""The dashboard and the alert rules that the repository ships, read as Grafana and Prometheus read them."""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "config" / "dashboards"
ALERTS = FOLDER / "alerts.yml"


def dashboard() -> dict[str, Any]:
    """The Grafana dashboard."""
    board: dict[str, Any] = json.loads((FOLDER / "hilum.json").read_text(encoding="utf-8"))
    return board


def expressions() -> list[tuple[str, str]]:
    """Every query of every panel: the panel's title, and the expression with Grafana's variables replaced."""
    return [
        (panel["title"], target["expr"].replace("$instance", ".+").replace("$__rate_interval", "1m"))
        for panel in dashboard()["panels"]
        for target in panel.get("targets", [])
    ]
