"""``python -m cluster hold``: a cluster to look at, until Ctrl-C. ``down``: removes what a crash left."""

from __future__ import annotations

import signal
import sys

from cluster import janitor
from cluster.cluster import LAB, STATE, Cluster, down
from cluster.parts import REPO
from cluster.sh import Steps


def main() -> int:
    verb = sys.argv[1] if len(sys.argv) > 1 else ""
    if verb == "down":
        print("removed" if down() else "there was nothing")
        return 0
    if verb == "await-end":  # started by ``up``
        if janitor.await_end():
            down()
        return 0
    if verb != "hold":
        print(__doc__, file=sys.stderr)
        return 2
    down()
    cluster = Cluster(Steps(REPO / f"build/{LAB}-hold.json"))
    for number in (signal.SIGINT, signal.SIGTERM):  # also when a shell started this in the background
        signal.signal(number, signal.default_int_handler)
    try:
        cluster.up()
        print(
            f"kubeconfig: {STATE}/shared/pki/admin.kubeconfig; nsenter --net=/run/netns/vpclab-{LAB}-control",
            flush=True,
        )
        signal.pause()
    except KeyboardInterrupt:
        pass
    finally:
        cluster.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
