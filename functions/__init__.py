"""Every decision of Alpha Panda, as pure functions: no I/O, no clock, no framework."""
