# Argo CD's namespace, and its CRD of Application. A new CRD has no conditions at first, which `kubectl wait` rejects.
kubectl create namespace argocd --dry-run=client -o yaml | kubectl apply -f -
kubectl apply --server-side -f "$CRDS/argocd"
until kubectl wait --for=condition=Established crd/applications.argoproj.io --timeout=2m; do sleep 0.2; done
