"""What a user would pick instead: same Redis, same messages, one run."""
