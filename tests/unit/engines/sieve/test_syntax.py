"""The parser of model files' text, from many threads."""

import gc
import threading
import time

from inference.engines.sieve.syntax import expression, statements

_TEXT = "\n".join(f"def f{n}(x: Tensor, y: List[int]) -> Tensor:\n  return torch.add(x, [y, ({n} + (1 - (2 * 3)))])" for n in range(100))


def _give_way(phase: str, info: dict[str, int]) -> None:
    time.sleep(0)


def test_threads_parse_at_once() -> None:
    """Several models are imported side by side: each text has its tree, none a SystemError."""
    found: list[int] = []

    def parse() -> None:
        for _ in range(3):
            found.append(len(statements(_TEXT).body))
            expression("(1 + (2 - (3 * x)))")

    threads = [threading.Thread(target=parse) for _ in range(8)]
    usual = gc.get_threshold()
    # a collection in the middle of a tree runs Python, and threads take turns there
    gc.callbacks.append(_give_way)
    gc.set_threshold(200)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        gc.set_threshold(*usual)
        gc.callbacks.remove(_give_way)
    assert found == [100] * 24
