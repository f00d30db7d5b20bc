module apicredential.io/e2e-node/pod

go 1.26.0
