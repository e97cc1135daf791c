"""What runs beside each replica: it starts the program, moves its output, ends its whole tree, and records the end.

Standard library only, and little of that: a replica's agents are two small processes, up in a millisecond.
They do without pathlib, whose import would be a third of their start-up time.
"""
