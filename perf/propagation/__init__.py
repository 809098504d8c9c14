"""When another worker sees a write: at best, and while the bus breaks."""
