//go:build tools

// Package helm3 pins the Helm 3 that installs the chart in the tests.
package helm3

import _ "helm.sh/helm/v3/cmd/helm"
