"""What we compare with: the design we replace, written as well as it can be."""
