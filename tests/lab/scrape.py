"""What a node says of itself over HTTP, read as Prometheus reads it: by prometheus_client's own parser."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from prometheus_client.parser import text_string_to_metric_families


class Scraped:
    """One scrape of `/metrics`."""

    def __init__(self, port: int) -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=120) as answer:
            self.content_type = answer.headers["Content-Type"]
            self.text = answer.read().decode()
        self.samples = [sample for family in text_string_to_metric_families(self.text) for sample in family.samples]

    def sum(self, name: str, **labels: str) -> float:
        """The sum of all samples of that name that have these labels; 0 when there is none."""
        return sum(sample.value for sample in self.samples if sample.name == name and labels.items() <= sample.labels.items())

    def by(self, name: str, label: str) -> Mapping[str, float]:
        """The samples of that name by one label, added up over the others."""
        found: dict[str, float] = {}
        for sample in self.samples:
            if sample.name == name:
                found[sample.labels[label]] = found.get(sample.labels[label], 0.0) + sample.value
        return found


def health(port: int, which: str) -> tuple[int, Any]:
    """Status and content of `/health/live` or `/health/ready`."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/{which}", timeout=120) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)
