# What a team has that renews its token by External Secrets: the login, the two objects, and the Secret that they made.
# The definitions stand in for External Secrets' own: the names are theirs, any field is taken.
for names in 'external-secrets.io v1 externalsecrets ExternalSecret' 'generators.external-secrets.io v1alpha1 webhooks Webhook'; do
  read -r group version plural kind <<<"$names"
  kubectl apply -f - <<END
{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
 "metadata": {"name": "$plural.$group"},
 "spec": {"group": "$group", "scope": "Namespaced", "names": {"plural": "$plural", "kind": "$kind"},
  "versions": [{"name": "$version", "served": true, "storage": true, "schema": {"openAPIV3Schema":
   {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}}
END
  kubectl wait --for=condition=Established "crd/$plural.$group" --timeout=2m
done
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
