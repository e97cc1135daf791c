"""The gs:// endpoint: the part of Cloud Storage's JSON API that its clients use, over the object store's promise."""
