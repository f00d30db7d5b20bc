# The namespace of Argo CD.
kubectl create namespace argocd --dry-run=client -o yaml | kubectl apply -f -
