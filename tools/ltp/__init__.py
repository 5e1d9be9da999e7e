"""The parts of tools/run-ltp."""
