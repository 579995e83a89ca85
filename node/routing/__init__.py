"""Routing decides which applications a study gets, by its headers alone; replay decides the same anew."""
