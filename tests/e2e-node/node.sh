#!/usr/bin/env bash
# One node: containerd and a kubelet. It is the first process in namespaces of its own:
#
#   unshare --mount --pid --fork --kill-child --mount-proc node.sh FOLDER
#
# With it end the kubelet, containerd, all containers and all mounts. FOLDER holds what node.rs wrote and gets the logs.
set -euo pipefail
folder=$1

# Both keep their state in many places below these; what they write there is gone with the node.
for place in /run /var/lib /var/log; do mount -t tmpfs node "$place"; done
# The kubelet's volumes have to reach containers that containerd has started.
mount --make-rshared /
# These belong to the whole machine, namespaces or not. A kubelet would set them; it finds them set.
sysctl() {
  local file="$folder/sysctl-${1//\//-}"
  echo "$2" >"$file"
  mount --bind "$file" "/proc/sys/$1"
}
sysctl vm/overcommit_memory 1
sysctl vm/panic_on_oom 0
sysctl kernel/panic 10
sysctl kernel/panic_on_oops 1
sysctl kernel/keys/root_maxkeys 1000000
sysctl kernel/keys/root_maxbytes 25000000

# In each hierarchy; run.sh removes them.
awk '$3 == "cgroup" || $3 == "cgroup2" { print $2 }' /proc/mounts | while read -r hierarchy; do
  mkdir "$hierarchy/$(cat "$folder/cgroup")"
done

containerd --config "$folder/containerd.toml" >"$folder/containerd.log" 2>&1 &
for _patience in {1..300}; do
  if ctr version >/dev/null 2>&1; then break; fi
  sleep 0.1
done
ctr -n k8s.io images import "$E2E_NODE_IMAGE" >"$folder/import.log" 2>&1

kubelet --config="$folder/kubelet.yaml" --kubeconfig="$folder/kubeconfig" --hostname-override="$(cat "$folder/name")" \
  >"$folder/kubelet.log" 2>&1 &
# A node runs as long as both; this shell also reaps their orphans.
wait -n || true
