//go:build tools

// Package helm4 pins the Helm 4 that installs the chart in the tests.
package helm4

import _ "helm.sh/helm/v4/cmd/helm"
