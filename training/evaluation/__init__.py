"""How good a model is: figures with intervals, calibration, and what they look like."""
