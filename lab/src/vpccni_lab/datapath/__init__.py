"""``make datapath``: every kind of path under every setting and packet filter, expected beside observed, with real packets."""
