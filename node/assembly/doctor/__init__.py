"""What the node looks at when somebody asks whether it is well, for `hilum doctor` and for the console; each finding says what to do."""
