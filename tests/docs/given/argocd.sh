# Argo CD's namespace, and its definition of Application. A new definition has no conditions at first, which wait refuses.
kubectl create namespace argocd --dry-run=client -o yaml | kubectl apply -f -
kubectl apply --server-side -f "$DEFINITIONS/argocd"
until kubectl wait --for=condition=Established crd/applications.argoproj.io --timeout=2m; do sleep 0.2; done
