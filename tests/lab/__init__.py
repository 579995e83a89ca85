"""The laboratory: real peers, independent validators and a real viewer, started on loopback for one test and gone after it."""
