//go:build tools

// Package cnitool pins the CNI project's own command-line tool.
package cnitool

import _ "github.com/containernetworking/cni/cnitool"
