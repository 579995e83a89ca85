"""How long until an event: models of the hazard, and figures of how well they put patients in order. Nothing here is served."""
