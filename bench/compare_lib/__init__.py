"""The parts of bench/compare: one module a subject."""
