"""Everything as one object: `Engine`, its images and containers, and what a run returns."""
