"""Are the tests of the core sharp? Change it in a thousand small ways and see who notices.

A mutant lives only in the memory of one forked process: no file of the tree is touched, any number
may run side by side, and an interrupted run leaves nothing behind. ``make mutants``
runs it; it takes the better part of an hour on two cores and is no part of ``make test``.
"""
