"""The audit trail: DICOM audit messages (PS3.15 A.5), the files that keep them, and the way to an audit repository."""
