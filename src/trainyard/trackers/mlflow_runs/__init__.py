"""Jobs' experiments in MLflow, by a program of its own that alone imports the library."""
