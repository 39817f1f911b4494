"""The data centre's vCenter."""
