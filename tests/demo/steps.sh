#!/usr/bin/env bash
# The steps of the demo, on an empty control plane that KUBECONFIG names. Started by run.sh.
#
# The kubectl commands are those of a real installation. The control plane has no node, so the operator runs here as a
# process, with the token of its service account and no other permissions.
set -euo pipefail

# The example secrets of the mock provider. Do not put real secrets on a command line; see README.md.
welkin_secret='+}B{KGTG6#zG%P;tQm0C'
qontak_user=you@example.com
qontak_password='correct horse battery staple'
qontak_new_password='a password that is new'

scratch=$(mktemp -d)
children=()
began=$SECONDS

main() {
  install
  start_mock_provider
  start_operator
  create_credentials
  show_status
  use_token
  watch_renewal
  rotate
  delete
  say "All steps passed in $((SECONDS - began)) s"
  if [ -n "${HOLD:-}" ]; then hold; fi
}

install() {
  say "Installing: kubectl apply -f crds/ -f deploy/install.yaml"
  kubectl apply -f crds/ -f deploy/install.yaml | indent
  { established || { sleep 1 && established; }; } | indent
}

# kubectl wait fails at once while a new CRD has no conditions yet.
established() { kubectl wait --for=condition=Established crd/apicredentials.apicredential.io --timeout=30s; }

start_mock_provider() {
  say "Starting the mock provider for Welkin and Qontak; its Welkin tokens are valid for 60 seconds"
  run mock-provider "$DEMO_PROGRAMS/examples/provider" --listen 127.0.0.1:0 --ca-out "$scratch/ca.pem" \
    --welkin-secret "$welkin_secret" --welkin-lifetime 60 \
    --qontak-user "$qontak_user" --qontak-password "$qontak_password"
  wait_until 30 "the mock provider prints its address" grep -q '^origin ' "$scratch/mock-provider.log"
  origin=$(sed -n 's/^origin //p' "$scratch/mock-provider.log")
  echo "$origin" | indent
}

start_operator() {
  say "Starting the operator as its service account: run --min-renewal-interval 5s --allowed-endpoints …"
  write_kubeconfig >"$scratch/operator.kubeconfig"
  KUBECONFIG="$scratch/operator.kubeconfig" run operator "$DEMO_PROGRAMS/apicredential-operator" run \
    --lease-namespace apicredential-operator --listen 127.0.0.1:0 --health-listen 127.0.0.1:0 \
    --min-renewal-interval 5s \
    --allowed-endpoints "welkin=$origin,qontak=$origin" --provider-ca-file "$scratch/ca.pem"
  wait_until 30 "the operator listens" grep -q '"health_address"' "$scratch/operator.log"
  operator=http://$(sed -n 's/.*"health_address":"\([^"]*\)".*/\1/p' "$scratch/operator.log" | head -n 1)
  wait_until 60 "the operator is ready" silently client get "$operator/readyz"
  echo "/readyz returns: $(client get "$operator/readyz")" | indent
}

create_credentials() {
  say "Creating the source Secrets, with the label that consents to their use"
  printf %s "$welkin_secret" | kubectl create secret generic welkin-client --from-file=secret=/dev/stdin | indent
  printf %s "$qontak_password" | kubectl create secret generic qontak-login \
    --from-literal=username="$qontak_user" --from-file=password=/dev/stdin | indent
  kubectl label secret welkin-client apicredential.io/source=welkin | indent
  kubectl label secret qontak-login apicredential.io/source=qontak | indent

  say "Applying deploy/examples/welkin.yaml and qontak.yaml, with the mock provider as the endpoint"
  for provider in welkin qontak; do
    kubectl patch --local -f "deploy/examples/$provider.yaml" --type=merge -o yaml \
      -p "{\"spec\": {\"provider\": {\"$provider\": {\"endpoint\": \"$origin\"}}}}" | kubectl apply -f - | indent
  done

  say "Waiting: kubectl wait --for=condition=Ready apicred/welkin apicred/qontak"
  kubectl wait --for=condition=Ready apicred/welkin apicred/qontak --timeout=60s | indent
}

show_status() {
  say "The status: kubectl get apicred -o wide"
  kubectl get apicred -o wide | indent
  say "The token's Secret has these keys and annotations (the token is not shown)"
  show_secret welkin-token
  say "The Welkin token is a JWT: its length, and the times in its claims"
  token_of welkin-token | client times | indent
  say "The full status, as kubectl describe shows it"
  kubectl describe apicred welkin | sed -n '/^Status:/,/^Events:/p' | sed '$d' | indent

  say "The events"
  kubectl get events.events.k8s.io -o custom-columns=TYPE:.type,REASON:.reason,REGARDING:.regarding.name,NOTE:.note | indent
}

use_token() {
  say "Calling Qontak with its token, like a pod that mounts the Secret: GET /api/open/v1/health"
  mount_secret qontak-token header
  client get --ca "$scratch/ca.pem" --header-file "$scratch/mounted" "$origin/api/open/v1/health" | indent
}

watch_renewal() {
  say "Waiting for the Welkin token's renewal, planned for $(field apicred/welkin .status.renewalTime)"
  local issued
  issued=$(annotation welkin-token issued-at)
  wait_until 90 "the Welkin token is renewed" revision_is_at_least welkin 2
  printf 'issued-at was %s and is %s; status.revision is %s\n' "$issued" \
    "$(annotation welkin-token issued-at)" "$(field apicred/welkin .status.revision)" | indent
  say "The requests that the mock provider has counted: one for each token"
  requests
}

rotate() {
  say "Rotating: Qontak now accepts only a new password, and the source Secret is updated with it"
  printf '{"secret": "%s"}' "$qontak_new_password" |
    client put --ca "$scratch/ca.pem" "$origin/_mock/clients/qontak/$qontak_user"
  kubectl patch secret qontak-login -p "{\"stringData\": {\"password\": \"$qontak_new_password\"}}" | indent
  wait_until 60 "a token is issued for the new password" revision_is_at_least qontak 2
  requests
  use_token
}

delete() {
  say "Deleting the ApiCredential qontak: Kubernetes' garbage collection deletes its Secret"
  kubectl delete apicred qontak | indent
  kubectl wait --for=delete secret/qontak-token --timeout=90s | indent
  kubectl get apicred,secret | indent
}

hold() {
  say "HOLD: the demo keeps running until Ctrl-C. In another shell:"
  echo "export KUBECONFIG=$KUBECONFIG" | indent
  sleep infinity &
  children+=($!)
  wait $! || true
}

# --- The Secret and the status, as kubectl shows them ---

show_secret() {
  kubectl get secret "$1" -o go-template='keys:
{{- range $key, $value := .data}} {{$key}}{{end}}
{{range $name, $value := .metadata.annotations}}{{$name}}: {{$value}}
{{end}}' | indent
}

token_of() {
  kubectl get secret "$1" -o go-template='{{.data.token | base64decode}}'
}

# Writes the value of one key to a file, as the kubelet does for a volume.
mount_secret() {
  (umask 077 && kubectl get secret "$1" -o go-template="{{.data.$2 | base64decode}}" >"$scratch/mounted")
}

annotation() {
  field "secret/$1" ".metadata.annotations.apicredential\.io/$2"
}

field() {
  kubectl get "$1" -o "jsonpath={$2}"
}

revision_is_at_least() {
  [ "$(field "apicred/$1" .status.revision)" -ge "$2" ]
}

requests() {
  client requests --ca "$scratch/ca.pem" "$origin/_mock/requests" | indent
}

# --- Processes ---

client() {
  "$DEMO_PROGRAMS/examples/demo-client" "$@"
}

kubectl() {
  KUBERC=off "$DEMO_KUBECTL" --cache-dir="$scratch/kubectl-cache" "$@"
}

# A kubeconfig with a token of the operator's service account, as a pod has it.
write_kubeconfig() {
  local token server ca_data
  token=$(kubectl create token apicredential-operator --namespace apicredential-operator --duration 2h)
  server=$(kubectl config view --raw -o 'jsonpath={.clusters[0].cluster.server}')
  ca_data=$(kubectl config view --raw -o 'jsonpath={.clusters[0].cluster.certificate-authority-data}')
  cat <<END
apiVersion: v1
kind: Config
current-context: local
clusters: [{name: local, cluster: {server: "$server", certificate-authority-data: "$ca_data"}}]
users: [{name: operator, user: {token: "$token"}}]
contexts: [{name: local, context: {cluster: local, user: operator}}]
END
}

# Starts a program with its output in a file. finish() stops it by its process id.
run() {
  local name=$1
  shift
  "$@" >"$scratch/$name.log" 2>&1 </dev/null &
  children+=($!)
}

wait_until() {
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@"; do
    if [ "$SECONDS" -ge "$end" ]; then
      echo "demo: timed out waiting until $what" >&2
      return 1
    fi
    sleep 0.5
  done
}

silently() {
  "$@" >/dev/null 2>&1
}

finish() {
  local status=$? child name
  trap - EXIT INT TERM HUP
  if [ "$status" -ne 0 ] && [ "$status" -ne 130 ] && [ "$status" -ne 143 ]; then
    printf '\ndemo: FAILED with status %d. The last lines of the logs:\n' "$status" >&2
    for name in mock-provider operator; do
      echo "--- $name" >&2
      tail -n 20 "$scratch/$name.log" >&2 || true
    done
  fi
  for child in "${children[@]}"; do kill "$child" 2>/dev/null || true; done
  for child in "${children[@]}"; do wait "$child" 2>/dev/null || true; done
  rm -rf "$scratch"
  exit "$status"
}

say() {
  printf '\n%s\n' "$*"
}

indent() {
  sed 's/^/    /'
}

trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
main
