"""The keeper of the LogBook promise over plain files: the agents write them, this reads them, nobody edits them."""
