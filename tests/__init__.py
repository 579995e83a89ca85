"""The tests: unit, contract, dimse, results, peers; `tests.lab` is the laboratory that they share."""
