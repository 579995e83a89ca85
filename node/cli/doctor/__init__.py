"""What `hilum doctor` looks at, a file for each subject; each finding says what to do."""
