"""A registry of our own: the OCI distribution specification 1.1 over HTTP, on a folder of this machine."""
