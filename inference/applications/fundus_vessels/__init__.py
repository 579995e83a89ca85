"""Vessels, arteries and veins on colour photographs of the ocular fundus, as shares of the field of view: research only."""

from inference.applications.fundus_vessels.application import APPLICATION

__all__ = ["APPLICATION"]
