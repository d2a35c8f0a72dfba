"""One adapter per peer.

An adapter has one function for each shape of workload that it offers: it takes the module as bytes and the
names of the workload so far, and returns the names to add. Four of them are understood by ``measure.py``:
``statement`` and ``check`` replace the workload's own, ``per`` its number of operations, and ``timed`` is a
function that does a number of turns and returns seconds, in place of any statement.

``ROWS`` is how many rows it maps, where the usual million takes too long. A shape that is not there, or
`NotOffered`, is a dash in the table.
"""

from __future__ import annotations


class NotOffered(Exception):
    """The peer does not do this, for a reason."""
