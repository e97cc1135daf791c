"""A job that is one run group at a time: what its replicas were seen to do, how it ends, what comes next for it."""
