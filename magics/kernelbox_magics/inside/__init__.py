"""What is copied into a container to run a Python cell there."""
