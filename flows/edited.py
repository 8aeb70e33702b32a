"""What people ask of a pipeline that is followed, by editing the watermark blocks of its sources in Prefect."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, Self

from dataflow import Engine, Workflow
from dataflow.engine.due import Due
from dataflow.errors import DataFlowError
from flows.terminal import tell


class EditedBlocks:
    """Looks at the blocks time and again, over one connection: a question for each source."""

    def __init__(self, workflow: Workflow) -> None:
        self.workflow = workflow
        self._sources = [stage.name for stage in workflow.stages.values() if stage.kind == "source"]
        self._open = ExitStack()
        self._client: Any = None
        self._told = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def due(self, *, started: bool) -> Due | None:
        """Why a run would move a source, as a person asks by a block; None also where Prefect does not answer.

        ``started``: there is a server, if need be of this process.
        Errors: ConfigError for a block that no run would obey.
        """
        from prefect.settings import PREFECT_API_URL

        if not (started or PREFECT_API_URL.value()):
            return None
        from tasks.watermarks import wished

        try:
            wish = wished(self._connection(), self.workflow.name, self._sources, self._marks)
        except DataFlowError:
            raise
        except Exception as error:
            self._close()
            self._tell(f"the watermark blocks cannot be looked at: {error}")
            return None
        self._told = ""
        return None if wish is None else Due({wish.name: wish.place})

    def _connection(self) -> Any:
        if self._client is None:
            from prefect.client.orchestration import get_client

            from tasks.console import hush

            hush()
            self._client = self._open.enter_context(get_client(sync_client=True))
        return self._client

    def _marks(self) -> tuple[str, dict[str, Any]]:
        engine = Engine(runner="inline")
        return engine.lake(self.workflow).uri, engine.watermarks(self.workflow)

    def _close(self) -> None:
        self._client = None
        self._open.close()

    def _tell(self, what: str) -> None:
        if what != self._told:
            tell(what, "warning: ")
        self._told = what
