"""The lab: real Xen hosts, a network and guests, emulated on any Linux machine.

Two QEMU processes run Xen 4.17 with a Debian dom0 each, in network namespaces of their own. Nothing here
needs KVM, a real Xen host or a disk image; everything that is started ends with the lab.
"""
