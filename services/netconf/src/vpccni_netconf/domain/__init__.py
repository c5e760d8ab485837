"""What the kernel must look like and the least change to get there. Pure: no clock, no I/O."""
