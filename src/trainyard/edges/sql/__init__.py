"""SQL over the live service: StackQL's statements and plain SQL, on SQLite's own engine, through the single door."""
