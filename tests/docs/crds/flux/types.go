// Package definitions names the packages whose types are made into definitions.
package definitions

import (
	_ "github.com/fluxcd/kustomize-controller/api/v1"
)
