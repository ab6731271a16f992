"""Models for servers and devices, each compared with the network before it gets its name."""
