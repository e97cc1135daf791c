"""Quality and speed of the searchers beside peers, on problems whose true values are known."""
