#!/bin/bash
# Process 1 of a node: a root file system of its own (an overlay on the machine's), then containerd, kubelet and kube-proxy.
# Environment: NODE, STATE (this node's directory), SHARED (pki and the like, read-only), CACHE (binaries), IMAGES (archives).
set -eu
hostname "$NODE"
mount --make-rprivate /
TOP=$STATE/root
mkdir -p "$TOP"
mount -t tmpfs -o size=512m,mode=755 tmpfs "$TOP"
mkdir "$TOP"/{upper,work,root}
mount -t overlay overlay -o "lowerdir=/,upperdir=$TOP/upper,workdir=$TOP/work" "$TOP/root"
R=$TOP/root
mount -t proc proc "$R/proc"
mount -t sysfs sysfs "$R/sys"
mount --rbind /sys/fs/cgroup "$R/sys/fs/cgroup"
[ ! -d /sys/fs/bpf ] || mount -t bpf bpf "$R/sys/fs/bpf" 2>/dev/null || true
mount --rbind /dev "$R/dev"
mount -t tmpfs -o mode=755 tmpfs "$R/run"
for pair in "$STATE/containerd:/var/lib/containerd" "$STATE/kubelet:/var/lib/kubelet" "$STATE/pod-logs:/var/log/pods" \
            "$STATE/log:/var/log/node" "$STATE/cni-conf:/etc/cni/net.d" "$STATE/cni-bin:/opt/cni/bin" \
            "$STATE/plugin-log:/var/log/aws-routed-eni" "$STATE/manifests:/etc/kubernetes/manifests" "$SHARED:$SHARED" "$CACHE:$CACHE" "$IMAGES:$IMAGES"; do
  mkdir -p "${pair%%:*}" "$R${pair#*:}"
  mount --rbind "${pair%%:*}" "$R${pair#*:}"
done
mkdir -p "$R/old" "$R/run/lock" "$R/run/netns"
cd "$R"
pivot_root . old
umount -l /old
mount --make-rshared /
mount -t tmpfs -o mode=1777 tmpfs /tmp

exec >>/var/log/node/init.log 2>&1
ulimit -n 20000
containerd -c "$SHARED/containerd.toml" >>/var/log/node/containerd.log 2>&1 &
for _ in $(seq 200); do ctr version >/dev/null 2>&1 && break; sleep 0.05; done
# Images are imported beside kubelet's start; the tests wait for the mark.
rm -f /var/lib/containerd/.all-imported
(
  have=$(ctr -n k8s.io images list -q)
  for archive in "$IMAGES"/*.tar; do
    # An archive that was imported before (a node that boots again) is recognised by its mark's time.
    mark=/var/lib/containerd/.imported-$(basename "$archive")
    if [ -n "$have" ] && [ "$mark" -nt "$archive" ]; then continue; fi
    ctr -n k8s.io images import "$archive" && touch "$mark"
  done
  touch /var/lib/containerd/.all-imported
) &

# kubelet and kube-proxy are started again when they end, as a service manager would.
keep() { local name=$1; shift; while :; do "$@" >>"/var/log/node/$name.log" 2>&1 || true; echo "$name ended" ; sleep 1; done; }
keep kubelet "$CACHE/bin/kubelet" --config="$STATE_IN/kubelet.yaml" --kubeconfig="$SHARED/pki/$NODE.kubeconfig" \
  --hostname-override="$NODE" --node-ip="$ADDRESS" --node-labels="$LABELS" --v=2 &
keep kube-proxy "$CACHE/bin/kube-proxy" --config="$STATE_IN/kube-proxy.yaml" --v=2 &
trap 'exit 0' TERM
while :; do wait -n || true; sleep 0.2; done
