"""The composition root: the only package that knows which plug-ins were chosen, and which processes they run in."""
