"""Kernels of Debian, small guests and QEMU: what tools/test-vm and tools/test-kasan are made of."""
