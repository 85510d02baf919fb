"""A real engine behind a real queue: an experiment that anybody can repeat."""
