"""One page to look into the sessions of a server, and into the near cache of a worker."""
