"""The seams of a run, as the engine's modules and tests know them."""

from dataflow.lake.seams import Seam as Seam
from dataflow.lake.seams import reach as reach
from dataflow.lake.seams import watch as watch
