"""The shared table of counters in Prometheus' words."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from headroom.metrics import FAMILIES, HISTOGRAMS, OTHER, SECONDS, Board


def render(board: Board) -> bytes:
    """The text format 0.0.4. Every family is there from the first scrape on."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(board))
    return generate_latest(registry)


class _Collector(Collector):
    def __init__(self, board: Board) -> None:
        self._board = board

    def collect(self) -> Iterator[Metric]:
        """All families, zeros included."""
        board = self._board
        for family in FAMILIES:
            labels = [family.label] if family.label else []
            metric = (CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily)(
                family.name, family.help, labels=labels
            )
            for value in (*family.values, OTHER) if family.label else ("",):
                metric.add_metric([value] if labels else [], board.total(family.name, value))
            yield metric
        for name, text in HISTOGRAMS.items():
            running = 0.0
            buckets: list[tuple[str, float]] = []
            for bound in (*map(str, SECONDS), "+Inf"):
                running += board.total(name, bound)
                buckets.append((bound, running))
            histogram = HistogramMetricFamily(name, text)
            histogram.add_metric([], buckets, board.total(name, "sum"))
            yield histogram
