# The operator's own objects, and the Lease that it makes. It runs as a process beside the cluster, not as these pods.
kubectl apply -f crds/ -f deploy/install.yaml
until kubectl wait --for=condition=Established crd/apicredentials.apicredential.io --timeout=2m; do sleep 0.2; done
# The permissions of users are aggregated to "edit" a moment after they are applied.
until kubectl get clusterrole edit -o yaml | grep apicredential.io >/dev/null; do sleep 0.2; done
kubectl apply -f - <<'END'
{"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
 "metadata": {"name": "apicredential-operator", "namespace": "apicredential-operator"}}
END
