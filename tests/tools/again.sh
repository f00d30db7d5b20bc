# To be sourced. `again COMMAND …` runs what fetches from the network up to three times: one download that breaks is no
# reason to fail.
again() {
  local try
  for try in 1 2; do
    "$@" && return
    echo "failed: $1; try $((try + 1)) of 3 follows in 10 s" >&2
    sleep 10
  done
  "$@"
}
