"""The soak: a real node under the load of a hospital's day, watched for what grows. `python -m tests.soak --minutes 20`, or `make soak`."""
