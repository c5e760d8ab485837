"""``python -m vpccni_netconf.clean``: what netconf made in a node's kernel goes (after an uninstall). Status 1: it was refused."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from vpccni_api.reasons import ReasonError

from vpccni_netconf.adapters.kernel import LinuxKernel
from vpccni_netconf.adapters.packet_filter import HostPacketFilter
from vpccni_netconf.domain.names import DEFAULT_CONNMARK
from vpccni_netconf.remove_host import remove_host

log = logging.getLogger("vpccni_netconf.clean")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="vpccni_netconf.clean", description=__doc__)
    parser.add_argument("--veth-prefix", default="eni", help="AWS_VPC_K8S_CNI_VETHPREFIX of the release (default: eni)")
    parser.add_argument(
        "--connmark",
        type=lambda raw: int(raw, 0),
        default=DEFAULT_CONNMARK,
        help=f"AWS_VPC_K8S_CNI_CONNMARK of the release (default: {DEFAULT_CONNMARK:#x})",
    )
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    kernel, packet_filter = LinuxKernel(), HostPacketFilter()
    try:
        for line in remove_host(kernel.host, packet_filter, options.veth_prefix, options.connmark):
            log.info("removed: %s", line)
    except ReasonError as error:
        log.critical("%s", error)
        return 1
    finally:
        packet_filter.close()
        kernel.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
