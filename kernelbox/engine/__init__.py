"""Everything as one object: images, containers, runs; and the options they take."""
