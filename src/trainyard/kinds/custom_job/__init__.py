"""CustomJob: worker pools of replicas that run a container or a Python package once."""
