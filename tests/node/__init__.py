"""The whole node as a program, with nothing but the Python package: no Debian program, no image that hilum did not make."""
