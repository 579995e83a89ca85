"""hilum as it is installed: what the wheel holds and what each of its extras brings."""
