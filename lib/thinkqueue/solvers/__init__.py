"""One algorithm a file; each looks at allocations by :func:`thinkqueue.bounds.tangent`."""
