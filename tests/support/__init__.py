"""What tests share: real servers, and the project's own files."""
