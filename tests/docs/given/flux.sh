# Flux's namespace, and its CRD of Kustomization.
kubectl create namespace flux-system --dry-run=client -o yaml | kubectl apply -f -
kubectl apply --server-side -f "$CRDS/flux"
until kubectl wait --for=condition=Established crd/kustomizations.kustomize.toolkit.fluxcd.io --timeout=2m; do sleep 0.2; done
