"""The controller: brings what is observed to what was asked for, one guarded step at a time."""
