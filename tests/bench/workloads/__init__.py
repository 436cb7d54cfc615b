"""The measurements: each is a function of a Bench that gives rows of the table."""

from .flumelog import flumelog
from .frontend import frontend
from .immuta import immuta
from .leafcreators import leafcreators
from .mount import asynchronous, copies, lines
from .process import batches, one_at_a_time, tessera, threads
from .reads import reads
from .several import several
from .sizes import sizes
from .web import web

ALL = [batches, tessera, one_at_a_time, threads, several, leafcreators,
       lines, asynchronous, copies, reads, sizes, web, frontend, flumelog, immuta]
