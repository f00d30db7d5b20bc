// Package definitions names the packages whose types are made into definitions.
package definitions

import (
	_ "github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
)
