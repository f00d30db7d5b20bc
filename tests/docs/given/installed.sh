# The operator's own objects, and the Lease that it makes. It runs as a process beside the cluster, not as these pods.
kubectl apply -f crds/ -f deploy/install.yaml
kubectl wait --for=condition=Established crd/apicredentials.apicredential.io --timeout=2m
kubectl apply -f - <<'END'
{"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
 "metadata": {"name": "apicredential-operator", "namespace": "apicredential-operator"}}
END
