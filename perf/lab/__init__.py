"""What all measurements share: verdicts, pictures, pages, progress."""
