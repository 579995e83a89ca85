"""What is known of studies and jobs, as records: the command and the console tell the same, computed once, here."""
