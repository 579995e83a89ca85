"""The command `hilum`, one file a verb; heavy imports happen inside the verbs."""
