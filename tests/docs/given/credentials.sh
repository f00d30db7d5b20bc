# Two credentials that have their tokens, from the examples.
printf %s 'a made-up secret' | kubectl create secret generic welkin-client --from-file=secret=/dev/stdin
printf %s 'a made-up password' |
  kubectl create secret generic qontak-login --from-literal=username=you@example.com --from-file=password=/dev/stdin
kubectl label secret welkin-client apicredential.io/source=welkin
kubectl label secret qontak-login apicredential.io/source=qontak
kubectl apply -f deploy/examples/welkin.yaml -f deploy/examples/qontak.yaml
kubectl wait --for=condition=Ready apicred/welkin apicred/qontak --timeout=2m
