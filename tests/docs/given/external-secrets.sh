# What a team has that renews its token by External Secrets: the login, the two objects, and the Secret that they made.
kubectl apply --server-side -f "$CRDS/external-secrets"
until kubectl wait --for=condition=Established crd/externalsecrets.external-secrets.io \
  crd/webhooks.generators.external-secrets.io --timeout=2m; do sleep 0.2; done
printf %s 'a made-up secret' | kubectl create secret generic welkin-client --from-file=secret=/dev/stdin
kubectl apply -f - <<'END'
apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata: {name: welkin-token}
spec:
  target: {name: welkin-token, creationPolicy: Owner}
END
kubectl apply -f - <<END
apiVersion: v1
kind: Secret
metadata:
  name: welkin-token
  labels: {reconcile.external-secrets.io/managed: "true"}
  ownerReferences:
    - apiVersion: external-secrets.io/v1
      kind: ExternalSecret
      name: welkin-token
      uid: $(kubectl get externalsecret/welkin-token -o 'jsonpath={.metadata.uid}')
      controller: true
      blockOwnerDeletion: true
stringData: {token: the-token-of-external-secrets, clientName: VBOPNRYRWJIP}
END
