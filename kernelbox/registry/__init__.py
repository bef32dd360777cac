"""Images in flight: a client of OCI registries (pull, push, and everything that they list), and a registry of our own."""
