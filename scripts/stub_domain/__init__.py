"""The helpers as stub domains, booted in QEMU."""
