"""Ways to tell a person: mail and webhooks."""
