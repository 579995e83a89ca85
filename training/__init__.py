"""Recipes that make the models that `inference` serves."""
