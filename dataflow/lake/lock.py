"""The lease as tables know it: what they refuse the holder of an earlier one."""

from __future__ import annotations

from dataclasses import dataclass

from deltalake import DeltaTable, Transaction

from dataflow.errors import LeaseLost


@dataclass(frozen=True)
class Lock:
    """The lease in the form in which tables know it: the highest number seen wins."""

    app: str
    number: int

    @property
    def transaction(self) -> Transaction:
        return Transaction(self.app, self.number)

    def hold(self, handle: DeltaTable) -> None:
        """Errors: LeaseLost where ``handle``'s table has seen a later lease."""
        self.outlast(handle.transaction_version(self.app), handle.table_uri)

    def outlast(self, seen: int | None, uri: str) -> None:
        """Errors: LeaseLost where ``seen``, the last lease that the table at ``uri`` knows, is a later one."""
        if seen is not None and seen > self.number:
            raise LeaseLost(
                f"{uri}: another run took the lease over (lease {seen}, ours is {self.number}); this run stops without publishing"
            )
