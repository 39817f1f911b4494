"""What orchestration costs, against a baseline of the same run."""
