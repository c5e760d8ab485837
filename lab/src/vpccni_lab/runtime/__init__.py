"""A CNI runtime, as libcni is one: network configuration lists, plugin chains, cached results, all verbs."""
