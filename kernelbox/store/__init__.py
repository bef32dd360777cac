"""At rest: where a store keeps things, which ids its containers use, what a crash left behind."""
