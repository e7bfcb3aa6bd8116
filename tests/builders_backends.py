"""Every store that the contract tests run on. A new backend is one more row of BACKENDS."""

from comity_broker.storage.sqlite import open_storage


class Sqlite:
    """A store in a directory, opened and closed as a broker does."""

    def __init__(self, folder):
        self._folder = folder
        self.storage = open_storage(folder, create=True)

    def reopen(self):
        """Stop the broker that has the store, and start another."""
        self.storage.close()
        self.storage = open_storage(self._folder)
        return self.storage

    def second_broker(self):
        return open_storage(self._folder)

    def close(self):
        self.storage.close()


BACKENDS = {"sqlite": Sqlite}
