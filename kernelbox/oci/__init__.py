"""The words of the field as frozen values: OCI runtime and image configuration, sizes and durations. No I/O."""
