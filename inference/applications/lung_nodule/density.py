"""How dense a lung nodule is: what follow-up goes by, beside its size."""

from enum import Enum


class Density(Enum):
    """What a nodule hides of the lung behind it."""

    SOLID = "solid"
    PART_SOLID = "part-solid"
    GROUND_GLASS = "ground-glass"
