# The certificate of a CA in a file; that of the API server will do.
kubectl config view --raw -o 'jsonpath={.clusters[0].cluster.certificate-authority-data}' | base64 -d >ca.crt
