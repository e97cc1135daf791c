"""The key ring of this machine: keys in a file of ours, each wrapped by a master key that may lie elsewhere."""
