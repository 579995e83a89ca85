"""What moved a classifier's answer, and whether a method tells that at all: methods, networks of random weights, the gate between them."""
