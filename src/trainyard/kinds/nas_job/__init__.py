"""The kind NasJob, and the kind of the jobs that run its trials."""
