# A team that renews its token with a CronJob: the login, the Secret of the token, the job and its permissions.
printf %s 'a made-up secret' | kubectl create secret generic welkin-client --from-file=secret=/dev/stdin
kubectl create secret generic welkin-token --from-literal=token=the-token-of-the-cronjob --from-literal=tenant=gh
kubectl create serviceaccount refresh-welkin-token
kubectl create role refresh-welkin-token --verb=get,patch --resource=secrets --resource-name=welkin-token
kubectl create rolebinding refresh-welkin-token --role=refresh-welkin-token \
  --serviceaccount="$(kubectl config view --minify -o 'jsonpath={..namespace}')":refresh-welkin-token
kubectl create cronjob refresh-welkin-token --image=curlimages/curl:8.15.0 --schedule='*/30 * * * *' -- /scripts/refresh
