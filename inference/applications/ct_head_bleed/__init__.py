"""Haemorrhage and oedema on head CT without contrast medium: present, absent or undetermined, masks and volumes."""

from inference.applications.ct_head_bleed.application import APPLICATION

__all__ = ["APPLICATION"]
