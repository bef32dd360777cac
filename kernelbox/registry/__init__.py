"""Images in flight: a client of OCI registries, which pulls, pushes and lists, and a registry of our own."""
