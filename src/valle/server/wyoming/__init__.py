"""Wyoming: speech for Home Assistant, by its own protocol (extra `wyoming`)."""
