// Package definitions names the packages whose types are made into definitions.
package definitions

import (
	_ "github.com/external-secrets/external-secrets/apis/externalsecrets/v1"
	_ "github.com/external-secrets/external-secrets/apis/generators/v1alpha1"
)
