"""Measurements that are declared, not coded: what is measured of the segments of an application, a file a family of measurements."""
