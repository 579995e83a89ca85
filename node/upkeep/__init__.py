"""Whole-store work beside the line: retention, erasure, orphans, notices, the audit trail, what archives are told besides results."""
