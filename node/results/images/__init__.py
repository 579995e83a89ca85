"""Maps, derived images and registrations, and the checks that read them back."""
