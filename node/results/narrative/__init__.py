"""Findings in words, in several languages: sentences, Enhanced SR, PDF, and the checks that read them back."""
